"""A sweep over a small recording: the whole flow in a second or two, without workers."""

from __future__ import annotations

from tests.faults.command import SweepCommand
from tests.support.recordings import kernel_tuner, write

SWEEP = """\
name: %s
evaluate: {replay: [a.json, b.json], noise: %s}
search: {strategy: random, seed: 4}
measure: {max_rounds: 20}
"""


def replay(folder, name="replay", sizes=(4096, 4096), noise="{seed: 1}", **more):
    """The command that searches two recorded GPUs, 48 configs each, of one problem."""
    folder.mkdir(exist_ok=True)
    for file, device in (("a.json", "NVIDIA RTX A4000"), ("b.json", "AMD Radeon PRO W6600")):
        write(folder / file, kernel_tuner(device=device, size=sizes))
    return SweepCommand(folder, SWEEP % (name, noise), file=f"{name}.yaml", **more)
