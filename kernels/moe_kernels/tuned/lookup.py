"""Finds the tuned config of a kernel at run time, fast enough to ask on every launch.

What is found is remembered per kernel, device, problem and token count, so a second look costs two dictionary
reads: no lock, no file, no CUDA call, no synchronisation. Nothing that is on disk can make a lookup raise.

Ask inside an operator, as this package's do: torch.compile then never sees the lookup, and a graph that is
compiled for any token count still gets the row of the one at hand. Where torch.compile traces a lookup, the
first of its kind breaks the graph.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import index
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from moe_kernels.registry import TUNABLES
from moe_kernels.tunable import TunableKernel
from moe_kernels.tuned._device import locate
from moe_kernels.tuned._knowledge import ADMITTED, Knowledge
from moe_kernels.tuned.explanation import Explanation, decide
from moe_kernels.tuned.format import Value

if TYPE_CHECKING:
    from pathlib import Path

    import torch

# A serving process must not grow without end; beyond this everything is forgotten and read anew.
MAX_REMEMBERED = 1 << 16

_log = logging.getLogger("moe_kernels.tuned")
_lock = threading.RLock()
_answers: dict[Any, dict[int, Mapping[str, Value]]] = {}
_pins: Mapping[str, Mapping[str, Value]] = {}
_remembered = 0
_knowledge: Knowledge | None = None
_said: set[tuple[Any, ...]] = set()


def lookup(
    kernel: str | TunableKernel,
    problem: Mapping[str, int | str],
    tokens: int,
    device: str | int | torch.device | None = None,
) -> Mapping[str, Value]:
    """Finds the tuned config for a problem.

    Args:
        kernel: a kernel that ships with this package, by name, or one of your own.
        problem: the axes without the ladder: `{"num_experts": 128, "top_k": 8, "dtype": "bf16"}`.
        tokens: the ladder's value; the row nearest to it is taken.
        device: a slug, a CUDA device or its index; None means the current CUDA device.

    Returns:
        Every parameter of the kernel, immutable; the default config where there is no usable row.

    Raises:
        ValueError: no kernel of that name ships with this package. Nothing else is ever raised.
    """
    try:
        # The kernel by identity: hashing a whole description would cost more than all the rest.
        name = kernel if kernel.__class__ is str else id(kernel)
        return _answers[name, device, *problem, *problem.values()][tokens]
    except Exception:  # not seen yet, or arguments that cannot be remembered
        return _miss(kernel, problem, tokens, device)


def refresh() -> None:
    """Forgets files, environment and what was said, so that the next lookup reads them anew."""
    global _answers, _remembered, _knowledge
    with _lock:
        _answers, _remembered, _knowledge = {}, 0, None
        _said.clear()


@contextmanager
def pinned(configs: Mapping[str, Mapping[str, Value]]) -> Iterator[None]:
    """Gives kernels these configs wherever they are looked up in this process, whatever is tuned.

    For comparisons: `pinned({"routing": {}})` runs the default config. Threads that look up meanwhile get them too.

    Args:
        configs: by the name of a shipped kernel; missing parameters are at their default.

    Raises:
        ValueError: there is no such kernel or parameter.
    """
    global _answers, _pins
    complete = {name: MappingProxyType(_tunable(name).complete(config)) for name, config in configs.items()}
    before = _answers, _pins
    # Nothing is remembered yet, so that every lookup comes by the pins and those without any cost no more than ever.
    _answers, _pins = {}, {**_pins, **complete}
    try:
        yield
    finally:
        _answers, _pins = before


def explain(
    kernel: str | TunableKernel,
    problem: Mapping[str, int | str],
    tokens: int,
    device: str | int | torch.device | None = None,
    *,
    evidence: str | None = None,
    folders: Sequence[Path] | None = None,
) -> Explanation:
    """Says which row a lookup with the same arguments takes, and why.

    Args:
        kernel: as for `lookup`.
        problem: as for `lookup`.
        tokens: as for `lookup`.
        device: as for `lookup`.
        evidence: `measured` or `modelled`, instead of what the environment says.
        folders: where to look, in order, instead of where lookups do.

    Raises:
        ValueError: no such kernel or evidence.
    """
    if evidence not in (None, *ADMITTED):
        raise ValueError(f"evidence: must be one of {', '.join(ADMITTED)}, got {evidence!r}")
    with _lock:
        known = _known() if folders is None else _known().of_folders(folders)
        return decide(known.question(_tunable(kernel), problem, index(tokens), locate(device), evidence))


def _miss(
    kernel: str | TunableKernel,
    problem: Mapping[str, int | str],
    tokens: int,
    device: str | int | torch.device | None,
) -> Mapping[str, Value]:
    tunable = _tunable(kernel)
    if tunable.name in _pins:
        return _pins[tunable.name]
    try:
        located = locate(device)
        if not located.lasting:
            return lookup(kernel, problem, tokens, located.slug)
        with _lock:
            explanation = decide(_known().question(tunable, problem, index(tokens), located))
            _remember(kernel, device, explanation)
        _say(explanation)
        return explanation.config
    except Exception as error:  # a forward pass goes on with the default, whatever happened
        failure = f"{type(error).__name__}: {error}"
        _say_once((tunable.name, failure), logging.WARNING, f"{tunable.name}: the default config: {failure}")
        return MappingProxyType(tunable.default_config)


def _known() -> Knowledge:
    global _knowledge
    if _remembered >= MAX_REMEMBERED:
        refresh()
    if _knowledge is None:
        _knowledge = Knowledge.from_environment()
    return _knowledge


def _tunable(kernel: str | TunableKernel) -> TunableKernel:
    if not isinstance(kernel, str):
        return kernel
    if kernel not in TUNABLES:
        raise ValueError(f"kernel: {kernel!r} is not one of {', '.join(TUNABLES)}")
    return TUNABLES[kernel]


def _remember(kernel: str | TunableKernel, device: Any, explanation: Explanation) -> None:
    global _remembered
    name = kernel if isinstance(kernel, str) else id(kernel)
    problem = explanation.problem
    _answers.setdefault((name, device, *problem, *problem.values()), {})[explanation.tokens] = (
        explanation.config
    )
    _remembered += 1


def _say(explanation: Explanation) -> None:
    """The token count is no part of what has been said: a problem speaks once, not once a batch size."""
    if not _known().folders:
        return
    said = (explanation.kernel, explanation.device, repr(explanation.problem))
    asked = f"{explanation.kernel} on {explanation.device or 'no device'}, {dict(explanation.problem)}"
    if explanation.taken is None:
        level = logging.INFO if explanation.device is None else logging.WARNING
        _say_once((*said, "default"), level, f"{asked}: {explanation.why}")
    elif explanation.warning:
        _say_once((*said, "triton"), logging.WARNING, f"{asked}: {explanation.warning}")


def _say_once(key: tuple[Any, ...], level: int, message: str) -> None:
    if key not in _said and len(_said) < MAX_REMEMBERED:
        _said.add(key)
        _log.log(level, "%s", message)
