"""Which jit functions problems with quantised weights run, and the variant of one format that few GPUs have."""

from __future__ import annotations

from functools import cache
from typing import Any

import triton

from moe_kernels.experts.quantised.arguments import FORMAT_CODE
from moe_kernels.experts.quantised.rows.kernel import quantise_groups_kernel, quantise_rows_kernel
from moe_kernels.formats import Fp8, Nvfp4
from moe_kernels.tunable import Config, Parameter, Problem

# 1 multiplies by `tl.dot_scaled`, which leaves it to the compiler how weights are widened.
DOT_SCALED = Parameter("dot_scaled", 0, kind="binary", choices=(0, 1), of_dtypes=(Nvfp4.dtype_word,))
# Major versions of GPUs that convert e2m1 in hardware.
_CONVERTING = (10, 12)
# Earlier versions fail to compile e4m3 scales beside 16-bit activations; 3.6 was tried.
_LEAST_TRITON = (3, 9)


def functions_of(
    problem: Problem, *, dense: tuple[Any, ...], shared: tuple[Any, ...], by_format: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The jit functions of a problem, so that each format's winners have a source hash of their own.

    Args:
        problem: its dtype decides.
        dense: for tensors in 16 bits.
        shared: also for quantised weights.
        by_format: the kernels that a format's functions are handed to.
    """
    word = str(problem["dtype"])
    if word not in FORMAT_CODE:
        return dense
    rows = (quantise_rows_kernel, quantise_groups_kernel) if word == Fp8.dtype_word else ()
    return (*shared, *by_format, *rows, *FORMAT_CODE[word].functions)


def why_no_dot_scaled(problem: Problem, config: Config, compute_capability: int) -> str | None:
    """Says why `dot_scaled=1` cannot be taken, or is not worth it, on a GPU; None where it can, and for 0."""
    if not config.get("dot_scaled"):
        return None
    if compute_capability // 10 not in _CONVERTING:
        return f"dot_scaled=1 is for sm_100 and sm_120, which convert e2m1 themselves; this is sm_{compute_capability}"
    if _triton_version() < _LEAST_TRITON:
        wanted, found = (".".join(map(str, version)) for version in (_LEAST_TRITON, _triton_version()))
        return f"dot_scaled=1 needs Triton {wanted} for scales in e4m3, this is {found}"
    return None


@cache
def _triton_version() -> tuple[int, ...]:
    return tuple(int(part) for part in triton.__version__.split(".")[:2])
