"""Leads the workers' process group and kills it, itself included, once the sweep's process is gone.

Runs as a script, with a pipe from the sweep as standard input: the kernel closes that pipe however the sweep ends,
`kill -9` included, so no worker and no compiler that a worker started outlives it.
"""

import os
import signal
import sys

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)
