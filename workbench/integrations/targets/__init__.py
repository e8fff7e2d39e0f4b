"""The engines' own kernels as kernels that can be swept, where their packages are installed."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from workbench.base.errors import InputError

if TYPE_CHECKING:
    from moe_kernels.tunable import TunableKernel

# Names in sweep files: an engine's package, and the function that describes the kernel in the module here of that name.
ENGINE_TARGETS = ("vllm.fused_moe", "vllm.gemma4_routing", "sglang.fused_moe", "sglang.gemma4_routing")


def engine_target(reference: str) -> TunableKernel:
    """Describes an engine's kernel; imports the engine.

    Args:
        reference: one of `ENGINE_TARGETS`.

    Raises:
        InputError: the engine is not installed, cannot be imported, or has no such kernel in this version.
    """
    package, name = reference.split(".")
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
        describe = getattr(import_module(f"{__name__}.{package}"), name)
        kernel: TunableKernel = describe(target_name(reference))
    except (ImportError, AttributeError, KeyError, TypeError) as error:
        raise _broken(reference, package, error) from error
    return kernel


def target_name(reference: str) -> str:
    """What results are filed under, which has no dot."""
    return reference.replace(".", "_")


def _broken(reference: str, package: str, error: Exception) -> InputError:
    try:
        installed = version(package)
    except PackageNotFoundError:
        installed = "of an unknown version"
    what = f"{reference} cannot be taken from {package} {installed}: {type(error).__name__}: {error}"
    return InputError(f"{what}; it is known to fit vllm 0.33.0 and sglang 0.5.23")
