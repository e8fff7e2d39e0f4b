"""Compiles as far as shared memory is settled, which takes a tenth of a whole compile and less where tiles spill.

Triton lowers to its GPU dialect, pipelines the loads and then assigns shared memory; what follows (LLVM, PTX, machine
code) asks for no more of it. The hook is Triton's own for inspecting the stages of a compile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moe_kernels.tunable import KernelLaunch, TunableKernel
from workbench.sweep.stages.compile import meta_launches
from workbench.sweep.stages.target import set_target
from workbench.trials.trial import Candidate

# Keeps these halves of compiles apart from whole ones in Triton's cache.
STAGES = "allocation"


def allocated_bytes(kernel: TunableKernel, candidate: Candidate, compute_capability: int) -> int:
    """The most shared memory that a launch of a candidate asks for, static plus dynamic.

    Args:
        kernel: the kernel.
        candidate: the problem and the complete config.
        compute_capability: of the target GPU, major * 10 + minor; Triton's target from then on.
    """
    set_target(compute_capability)
    return max(map(_allocated, meta_launches(kernel, candidate)))


def _allocated(launch: KernelLaunch) -> int:
    with _until_allocation():
        try:
            return int(launch.compile().metadata.shared)
        finally:
            # The jitted function keeps what was compiled, and would hand this half on to a whole compile.
            launch.kernel.device_caches.clear()


@contextmanager
def _until_allocation() -> Iterator[None]:
    from triton import knobs

    before = knobs.runtime.add_stages_inspection_hook
    knobs.runtime.add_stages_inspection_hook = _cut
    try:
        yield
    finally:
        knobs.runtime.add_stages_inspection_hook = before


def _cut(*asked: Any) -> tuple[str, str] | None:
    """Triton's hook: without arguments it asks for a key, otherwise it hands over the stages to be changed."""
    if not asked:
        return STAGES, STAGES
    backend, stages, options, _, capability = asked
    stages["llir"] = lambda module, metadata: _allocate(module, metadata, backend, options, capability)
    stages["ptx"] = lambda text, metadata: text
    stages["cubin"] = lambda text, metadata: b""
    return None


def _allocate(module: Any, metadata: dict[str, Any], backend: Any, options: Any, capability: int) -> str:
    """Triton's passes between the pipelined loop and the allocation of shared memory."""
    from triton._C.libtriton import ir, nvidia, passes
    from triton.backends.nvidia.compiler import get_ptx_version_from_options

    ptx_version = get_ptx_version_from_options(options, backend.target.arch)
    manager = ir.pass_manager(module.context)
    passes.convert.add_scf_to_cf(manager)
    nvidia.passes.ttgpuir.add_allocate_shared_memory_nv(manager, capability, ptx_version)
    manager.run(module, "allocate_shared_memory")
    metadata |= {"shared": module.get_int_attr("ttg.shared"), "name": "", "tmem_size": 0}
    return ""
