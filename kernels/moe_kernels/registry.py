"""The tunable kernels that ship with this package, by the name under which results file them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from moe_kernels.experts import EXPERTS, EXPERTS_BACKEND, EXPERTS_DECODE
from moe_kernels.routing.tunable import ROUTING
from moe_kernels.tunable import TunableKernel

_KERNELS = (ROUTING, EXPERTS, EXPERTS_DECODE, EXPERTS_BACKEND)
TUNABLES: Mapping[str, TunableKernel] = MappingProxyType({kernel.name: kernel for kernel in _KERNELS})
