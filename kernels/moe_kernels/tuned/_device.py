"""Which folder of results belongs to a device."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moe_kernels.device_slug import device_slug

if TYPE_CHECKING:
    import torch


def is_one_folder(name: str) -> bool:
    """False for a name that would lead out of the folder of results."""
    return name not in ("", ".", "..") and not re.search(r"[/\\:\x00-\x1f]", name)


@dataclass(frozen=True, slots=True)
class Located:
    """The device that a lookup is for.

    Attributes:
        slug: its slug, None where there is no such device.
        why: why there is none.
        lasting: False where the same argument can mean another device at the next call.
    """

    slug: str | None
    why: str = ""
    lasting: bool = True


def locate(device: str | int | torch.device | None) -> Located:
    """Finds the slug of a device; never synchronises, and asks CUDA only for names."""
    import torch

    if isinstance(device, str) and not re.fullmatch(r"(cuda|cpu|meta)(:\d+)?", device):
        ok = is_one_folder(device)
        return Located(device) if ok else Located(None, f"{device!r} is no device's slug")
    if isinstance(device, str):
        device = torch.device(device)
    if isinstance(device, torch.device):
        if device.type != "cuda":
            return Located(None, f"{device} is no CUDA device")
        device = device.index
    return _locate_cuda(device)


def _locate_cuda(index: int | None) -> Located:
    import torch

    if not torch.cuda.is_available():
        return Located(None, "no CUDA device is available")
    if index is not None:
        return Located(device_slug(torch.cuda.get_device_name(index)))
    slugs = {device_slug(torch.cuda.get_device_name(each)) for each in range(torch.cuda.device_count())}
    current = device_slug(torch.cuda.get_device_name(torch.cuda.current_device()))
    return Located(current, lasting=len(slugs) == 1)
