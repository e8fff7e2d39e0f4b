"""The tunable kernels that ship with this package, by the name under which results file them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from moe_kernels.tunable import TunableKernel

_PLACES = {
    "routing": ("moe_kernels.routing.tunable", "ROUTING"),
    "experts": ("moe_kernels.experts", "EXPERTS"),
    "experts_decode": ("moe_kernels.experts", "EXPERTS_DECODE"),
    "experts_backend": ("moe_kernels.experts", "EXPERTS_BACKEND"),
}


class _Shipped(Mapping[str, TunableKernel]):
    """Imports a kernel, and torch with it, when it is asked for: the kernels' operators look up their own configs."""

    def __getitem__(self, name: str) -> TunableKernel:
        module, attribute = _PLACES[name]
        kernel: TunableKernel = getattr(import_module(module), attribute)
        return kernel

    def __contains__(self, name: object) -> bool:
        return name in _PLACES

    def __iter__(self) -> Iterator[str]:
        return iter(_PLACES)

    def __len__(self) -> int:
        return len(_PLACES)


TUNABLES: Mapping[str, TunableKernel] = _Shipped()
