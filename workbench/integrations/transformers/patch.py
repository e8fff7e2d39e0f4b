"""Puts our router and experts into a loaded Gemma 4 of `transformers`, and takes them out again.

A module that is patched changes its class and nothing else. Parameters, buffers, names, hooks and the model's config
stay what they are: checkpoints do not change, a copy of a patched model is patched, no other model is touched. (The
experts interface of `transformers` reads a config, which models may share and `generate` changes.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from workbench.base.errors import InputError
from workbench.integrations.transformers.forwards import become

if TYPE_CHECKING:
    from torch import nn

# The first release that the tests ran with.
OLDEST = (5, 23)
_SPELLED = ".".join(map(str, OLDEST))
_ADVICE = f"pip install 'transformers>={_SPELLED}'"


@dataclass(frozen=True, slots=True)
class Patch:
    """What one call of `patch` changed; as a context manager it is undone at the end.

    Attributes:
        modules: by their names in the model; empty where all of them were patched already.
    """

    modules: Mapping[str, nn.Module]

    def undo(self) -> None:
        """Takes our parts out of these modules."""
        for module in self.modules.values():
            _take_out(module)

    def __enter__(self) -> Patch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


def patch(model: nn.Module) -> Patch:
    """Runs every Gemma 4 router and its experts in a model by `moe_kernels`, from the next call on.

    Triton kernels run for bf16 and fp16 on CUDA, torch operations with the same semantics elsewhere. The model may be
    any module that holds such parts, placed by `device_map` or wrapped by `torch.compile` before or after. A second
    call changes nothing.

    Args:
        model: for example a `Gemma4ForConditionalGeneration`, a `Gemma4ForCausalLM` or a `Gemma4TextModel`.

    Returns:
        What was changed. `unpatch(model)` takes everything out, `Patch.undo` only what this call put in.

    Raises:
        InputError: `transformers` is missing or too old, there is no such part in the model, or one that our kernels
            cannot take the place of; nothing is changed then.
    """
    _check_installed()
    from workbench.integrations.transformers.checks import check_parts
    from workbench.integrations.transformers.modules import OURS

    check_parts(model)
    found = {name: module for name, module in model.named_modules() if type(module) in OURS}
    for module in found.values():
        become(module, OURS[type(module)])
    return Patch(found)


def unpatch(model: nn.Module) -> None:
    """Takes our parts out of a model, which then runs as before; one without them stays as it is.

    Raises:
        InputError: `transformers` is missing or too old.
    """
    _check_installed()
    for module in model.modules():
        _take_out(module)


def _check_installed() -> None:
    """Raises InputError, which says how to install it, unless `transformers` is here and new enough."""
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise InputError(f"transformers cannot be imported: {error}") from error
        raise InputError(f"the package transformers is not installed: {_ADVICE}") from None
    found = str(transformers.__version__)
    if tuple(map(int, re.findall(r"\d+", found)[:2])) < OLDEST:
        raise InputError(f"transformers {found} is too old, {_SPELLED} or later is needed: {_ADVICE}")


def _take_out(module: nn.Module) -> None:
    from workbench.integrations.transformers.modules import OURS

    if type(module) in OURS.values():
        (theirs,) = type(module).__bases__
        become(module, theirs)
