"""The routing distributions that a sweep's `measure.routing` names."""

from __future__ import annotations

import hashlib
import io
import math
import re
from pathlib import Path

import numpy as np

from moe_kernels.routing_distribution import UNIFORM, RoutingDistribution
from moe_kernels.tunable import TunableKernel
from workbench.base.errors import InputError
from workbench.sweep.spec import LoadedSpec

ALLOWED = "uniform, zipf, zipf:EXPONENT, recorded:FILE.npy"
RECORDED = "recorded:"
MAX_BYTES = 1 << 28
_ZIPF = re.compile(r"zipf(:(?P<exponent>[0-9]+(\.[0-9]+)?))?")


def routing_distributions(loaded: LoadedSpec, kernel: TunableKernel) -> tuple[RoutingDistribution, ...]:
    """What a sweep's kernel is timed under.

    Raises:
        InputError: names file, line and key: an unknown distribution, one that this kernel has no inputs for, or a
            file of recorded ids that holds none.
    """
    found = []
    for index, text in enumerate(loaded.spec.measure.routing):
        with loaded.located("measure", "routing", index):
            distribution = _parsed(loaded, text)
            if distribution.kind != "uniform" and kernel.routed_inputs is None:
                raise InputError(f"{kernel.name} has no routed inputs, so only uniform is allowed")
            found.append(distribution)
    if not found:
        raise loaded.error("is empty; at least one value is needed", "measure", "routing")
    return tuple(found)


def _parsed(loaded: LoadedSpec, text: str) -> RoutingDistribution:
    if text == "uniform":
        return UNIFORM
    if text.startswith(RECORDED):
        return _recorded(loaded.path(text.removeprefix(RECORDED)))
    match = _ZIPF.fullmatch(text)
    exponent = float(match["exponent"] or 1.0) if match else math.nan
    if not 0.0 < exponent <= 10.0:
        raise InputError(
            f"unknown routing {text[:60]!r}; allowed: {ALLOWED}, an exponent above 0 and at most 10"
        )
    return RoutingDistribution(label=f"zipf:{exponent:g}", kind="zipf", exponent=exponent)


def _recorded(path: Path) -> RoutingDistribution:
    import torch

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        ids = np.load(io.BytesIO(content), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"{path}: no array of recorded ids ({error}); allowed: a .npy file, [tokens, K]"
        ) from None
    if not _is_routing(ids):
        what = f"{path}: holds {getattr(ids, 'shape', None)} of {getattr(ids, 'dtype', type(ids))}"
        raise InputError(f"{what}; recorded ids are integers [tokens, K], at least 0, distinct in a row")
    digest = hashlib.sha256(ids.tobytes()).hexdigest()[:16]
    return RoutingDistribution(
        label=f"{RECORDED}{digest}", kind="recorded", ids=torch.from_numpy(ids.astype(np.int32))
    )


def _is_routing(ids: object) -> bool:
    if not isinstance(ids, np.ndarray) or ids.ndim != 2 or not ids.size or ids.dtype.kind not in "iu":
        return False
    ordered = np.sort(ids, axis=1)
    return bool(ids.min() >= 0 and ids.max() < 1 << 20 and (ordered[:, 1:] != ordered[:, :-1]).all())
