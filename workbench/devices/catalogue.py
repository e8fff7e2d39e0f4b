"""The GPUs that the workbench knows, and a GPU of the user's own from a YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from moe_kernels.device_slug import device_slug
from workbench.base.errors import InputError
from workbench.base.validation import validate
from workbench.base.yaml import read_yaml
from workbench.devices.device import Device
from workbench.devices.entries import FIELD_OF_FIGURE, CatalogueFile, DeviceEntry, Limits

CATALOGUE = Path(__file__).with_name("catalogue.yaml")
YAML_SUFFIXES = (".yaml", ".yml")


def catalogue() -> tuple[Device, ...]:
    """Every GPU of the catalogue, in its order: data centre first, then workstations."""
    file = _catalogue_file()
    return tuple(_device(entry, file.architectures[entry.arch], "unknown") for entry in file.devices)


def find_device(name_or_path: str | Path) -> Device:
    """Finds a GPU by slug, by CUDA's name, by alias, or by the path of a YAML file of the user's own.

    Args:
        name_or_path: a name in any case, with or without `NVIDIA`, spaces, dashes and underscores; or a path
            that ends in `.yaml` or `.yml`.

    Raises:
        InputError: there is no such GPU (the message lists what there is), or the file is wrong.
    """
    text = str(name_or_path).strip()
    if text.lower().endswith(YAML_SUFFIXES):
        return load_device(Path(text).expanduser())
    names = _names()
    found = names.get(_plain(text)) or names.get(_plain(device_slug(text)))
    if found is None:
        raise InputError(_nothing_found(text))
    return found


def load_device(path: str | Path) -> Device:
    """Reads a GPU of the user's own: a YAML file with the keys of one entry of the catalogue.

    Raises:
        InputError: names file, line and key, and says what is allowed.
    """
    source = read_yaml(Path(path))
    entry = validate(DeviceEntry, source)
    known = _catalogue_file().architectures
    limits = entry.limits or known.get(entry.arch)
    if limits is None:
        keys = ", ".join(Limits.model_fields)
        message = (
            f"{entry.arch} is not one of {', '.join(known)}; for another, add a key `limits` with {keys}"
        )
        raise source.error(message, ("arch",))
    return _device(entry, limits, f"given in {path}")


def listed_device(entry: DeviceEntry, source: str) -> Device:
    """The GPU of an entry that stands in another list; its architecture is one of the catalogue's.

    Args:
        entry: the entry.
        source: of the figures that name none themselves.
    """
    return _device(entry, _catalogue_file().architectures[entry.arch], source)


@cache
def _catalogue_file() -> CatalogueFile:
    return validate(CatalogueFile, read_yaml(CATALOGUE))


@cache
def _names() -> Mapping[str, Device]:
    """Every name of every GPU, plain."""
    return {
        _plain(name): device
        for device in catalogue()
        for name in (device.slug, device.device_name, *device.aliases)
    }


def _plain(name: str) -> str:
    """A name as people vary it: lower case, letters and digits only, without the makers' prefixes."""
    letters = re.sub(r"[^a-z0-9]", "", name.casefold())
    return letters.removeprefix("nvidia").removeprefix("geforce")


def _nothing_found(text: str) -> str:
    names = _names()
    close = [names[name].aliases[0] for name in get_close_matches(_plain(text), names, n=1)]
    meant = f" (did you mean {close[0]}?)" if close else ""
    aliases = ", ".join(device.aliases[0] for device in catalogue())
    return (
        f"no device {text!r}{meant}; the catalogue has {aliases}; "
        "for another GPU, give the path of a .yaml file that describes it"
    )


def _device(entry: DeviceEntry, limits: Limits, default_source: str) -> Device:
    sources = {FIELD_OF_FIGURE[figure]: text for figure, text in entry.sources.items()}
    figures = dict.fromkeys(FIELD_OF_FIGURE.values(), default_source)
    per_sm = dict.fromkeys(limits.fields(), limits.source)
    return Device(
        slug=device_slug(entry.device_name),
        **entry.fields(),
        **limits.fields(),
        sources={**figures, **sources, **per_sm},
    )
