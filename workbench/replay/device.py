"""The GPU of a recording: from the catalogue where that knows it, else by its name alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.devices import Device, catalogue

if TYPE_CHECKING:
    from workbench.replay.family import Family


@dataclass(frozen=True, slots=True)
class RecordedDevice:
    """A GPU of which nothing but the name is known.

    Attributes:
        slug: what results are filed under.
        device_name: as the recording has it.
    """

    slug: str
    device_name: str
    arch: str = "unknown"


def recorded_device(slug: str, family: Family) -> Device | RecordedDevice:
    """The GPU that a family has under this slug."""
    known = next((each for each in catalogue() if each.slug == slug), None)
    names = {each.device: each.device_name for each in family.landscapes}
    return known or RecordedDevice(slug, names[slug])
