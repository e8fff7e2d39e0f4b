"""Small programs that find out what Triton can do on this machine: `python -m workbench.report.probe WHAT`.

`compile ARCH...` compiles for GPUs that are not there, `interpret` runs in Triton's interpreter (the caller
sets TRITON_INTERPRET=1), `launch` runs on the GPU at hand. The last line printed is JSON, since Triton prints
to the same place; a traceback and an exit code mean no.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl

from workbench.sweep.stages.target import registers_and_stack, set_target

BLOCK = 64
# Compiled first and not reported: it pays for what the first compile of a process loads.
WARM_UP = "sm_80"


@triton.jit  # type: ignore[untyped-decorator]
def _double(source, target, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    offsets = tl.arange(0, BLOCK)
    tl.store(target + offsets, tl.load(source + offsets) * 2)


def compile_for(arch: str) -> dict[str, Any]:
    """Compiles a kernel of three lines for `arch` and reads its registers from the machine code."""
    set_target(int(arch.removeprefix("sm_")))
    tensor = torch.empty(BLOCK, device="meta")
    start = time.perf_counter()
    compiled = _double.warmup(tensor, tensor, grid=(1,), BLOCK=BLOCK, enable_fp_fusion=True)
    seconds = time.perf_counter() - start
    return {"arch": arch, "seconds": seconds, "registers": registers_and_stack(compiled.asm["cubin"])[0]}


def run_on(device: str) -> dict[str, Any]:
    """Runs the kernel and checks what it wrote."""
    source = torch.arange(BLOCK, dtype=torch.float32, device=device)
    target = torch.zeros_like(source)
    start = time.perf_counter()
    _double[(1,)](source, target, BLOCK=BLOCK)
    correct = bool(torch.equal(target, source * 2))
    return {"correct": correct, "seconds": time.perf_counter() - start}


def _tried(arch: str) -> dict[str, Any]:
    try:
        return compile_for(arch)
    except Exception as error:  # whatever a compiler raises, the other architectures still get their turn
        reason = " ".join(str(error).split())[:200]
        return {"arch": arch, "error": f"{type(error).__name__}: {reason}"}


def main(arguments: Sequence[str]) -> None:
    """Runs one probe and prints what it found as one line."""
    what, *archs = arguments
    if what == "compile":
        _tried(WARM_UP)
        found: Any = [_tried(arch) for arch in archs]
    else:
        found = run_on("cuda" if what == "launch" else "cpu")
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
