"""The engines' own kernels as kernels that can be swept, where their packages are installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from workbench.base.errors import InputError

if TYPE_CHECKING:
    from moe_kernels.tunable import TunableKernel

# By the name in a sweep file: the package, and the module here that describes the kernel.
ENGINE_TARGETS: Mapping[str, tuple[str, str]] = {
    "vllm.fused_moe": ("vllm", "vllm_moe"),
    "vllm.gemma4_routing": ("vllm", "vllm_routing"),
    "sglang.fused_moe": ("sglang", "sglang_moe"),
    "sglang.gemma4_routing": ("sglang", "sglang_routing"),
}


def engine_target(reference: str) -> TunableKernel:
    """Describes an engine's kernel; imports the engine.

    Args:
        reference: a key of `ENGINE_TARGETS`.

    Raises:
        InputError: the engine is not installed, cannot be imported, or has no such kernel in this version.
    """
    package, module = ENGINE_TARGETS[reference]
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise _broken(reference, package, error) from error
        raise InputError(
            f"{reference} needs the package {package}, which is not installed; `pip install {package}` into an "
            "environment of its own, and this tool beside it"
        ) from error
    except Exception as error:  # an engine's import may fail in any way, for example without its GPU
        raise _broken(reference, package, error) from error
    try:
        kernel: TunableKernel = import_module(f"{__name__}.{module}").describe(_kernel_name(reference))
    except (ImportError, AttributeError, KeyError, TypeError) as error:
        raise _broken(reference, package, error) from error
    return kernel


def _kernel_name(reference: str) -> str:
    """What results are filed under, which has no dot."""
    return reference.replace(".", "_")


def _broken(reference: str, package: str, error: Exception) -> InputError:
    try:
        installed = version(package)
    except PackageNotFoundError:
        installed = "of an unknown version"
    what = f"{reference} cannot be taken from {package} {installed}: {type(error).__name__}: {error}"
    return InputError(f"{what}; it is known to fit vllm 0.33.0 and sglang 0.5.23")
