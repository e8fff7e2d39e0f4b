"""Times `python -m workbench --help` as a whole process: it should answer within 0.4 s.

python benchmarks/start_up.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 10
TARGET_S = 0.4


def main() -> None:
    """Prints the fastest, median and slowest of several runs, seconds."""
    times = sorted(_run() for _ in range(RUNS))
    median = statistics.median(times)
    print(
        f"python -m workbench --help: {times[0]:.3f} {median:.3f} {times[-1]:.3f} s (min, median, max of {RUNS})"
    )
    print(f"target: {TARGET_S} s, median {'met' if median <= TARGET_S else 'missed'}")


def _run() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "workbench", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
