"""Recordings that are searched as one: the same kernel and parameters on several problems, or on several GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from moe_kernels.tunable import Config, Problem, TunableKernel
from workbench.base.errors import InputError
from workbench.base.text import shown, suggestion
from workbench.replay import journals, kernel_tuner, recording
from workbench.replay.landscape import Landscape
from workbench.trials.trial import digest

DEVICE = "device"


@dataclass(frozen=True)
class Family:
    """Landscapes of one kernel, each on its own problem or GPU.

    Attributes:
        landscapes: in the order in which they will be searched.
        default: the baseline's config.
    """

    landscapes: tuple[Landscape, ...]
    default: Config

    @property
    def digest(self) -> str:
        """Of everything that was recorded."""
        return digest([each.digest for each in self.landscapes])

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Each landscape's problem, its GPU included."""
        return tuple({DEVICE: each.device, **each.problem} for each in self.landscapes)

    @cached_property
    def by_problem(self) -> Mapping[str, Landscape]:
        """The landscapes by `problem_key`."""
        return dict(zip(map(problem_key, self.problems), self.landscapes, strict=True))

    @property
    def kernel(self) -> TunableKernel:
        """The recorded kernel, as far as a recording describes it: it can be searched and filed, and not run."""
        first = self.landscapes[0]
        parameters = (replace(each, default=self.default[each.name]) for each in first.parameters)
        return TunableKernel(
            name=first.kernel,
            axes=first.axes,
            parameters=tuple(parameters),
            kernels=(),
            make_inputs=_not_recorded,
            make_outputs=_not_recorded,
            launches=_not_recorded,
            reference=_not_recorded,
            traffic=_not_recorded,
        )


def _not_recorded(*_: Any) -> Any:
    raise NotImplementedError("a recording holds times, and no kernel to run")


def problem_key(problem: Problem) -> str:
    """Names a problem, its GPU included."""
    return digest(dict(problem))


def read_landscapes(path: Path) -> tuple[Landscape, ...]:
    """The landscapes in one recording: a journal of ours, or a cache file of Kernel Tuner's.

    Raises:
        InputError: names file and key or line: it is truncated, of another schema, or holds what cannot be.
    """
    if journals.is_journal(path):
        return journals.landscapes_of(path)
    content = recording.read_recording(path)
    top = recording.parse_json(content, path)
    if not kernel_tuner.looks_like(top):
        what = "is no recording; allowed: a run's folder (runs/<run id>), or a cache file of Kernel Tuner's"
        raise InputError(what, file=path)
    return (kernel_tuner.landscape_of(top, path, recording.digest_of(content)),)


def read_family(paths: Sequence[Path], default: Config | None = None) -> Family:
    """Reads recordings as one family.

    Args:
        paths: journals and cache files, in the order in which they will be searched.
        default: the baseline's config, all that varies in it named; None for the first config valid everywhere, else
            the first that is valid on the first recording.

    Raises:
        InputError: a recording is damaged, two do not belong together, or none holds the default.
    """
    landscapes = tuple(each for path in paths for each in read_landscapes(path))
    _check_same_kernel(landscapes)
    chosen = _first_valid(landscapes) if default is None else _complete(landscapes[0], default)
    return Family(landscapes, chosen)


def _check_same_kernel(landscapes: Sequence[Landscape]) -> None:
    first, seen = landscapes[0], dict[str, Path]()
    for each in landscapes:
        for what, here, there in (
            ("kernel", each.kernel, first.kernel),
            ("parameters", list(each.table.names), list(first.table.names)),
            ("axes", [axis.name for axis in each.axes], [axis.name for axis in first.axes]),
        ):
            if here != there:
                message = (
                    f"is no family with {first.path}: its {what} are {shown(here)}, there {shown(there)}"
                )
                raise InputError(message, file=each.path)
        key = problem_key({DEVICE: each.device, **each.problem})
        if key in seen:
            raise InputError(f"records the same problem on the same GPU as {seen[key]}", file=each.path)
        seen[key] = each.path


def _first_valid(landscapes: Sequence[Landscape]) -> Config:
    first = next((each for each in landscapes if np.isfinite(each.times_us).any()), landscapes[0])
    for row in np.flatnonzero(np.isfinite(first.times_us)):
        config = first.table[int(row)]
        if all(_is_valid(each, config) for each in landscapes):
            return config
    return first.table[first.first_valid()]


def _is_valid(landscape: Landscape, config: Config) -> bool:
    row = landscape.table.find(config)
    return row is not None and bool(np.isfinite(landscape.times_us[row]))


def _complete(landscape: Landscape, default: Config) -> Config:
    """The default with what never varies filled in."""
    levels = landscape.table.levels
    for name in default:
        if name not in levels:
            raise InputError(
                f"unknown parameter{suggestion(name, list(levels))}; allowed: {', '.join(levels)}", key=name
            )
    held = {name: values[0] for name, values in levels.items() if len(values) == 1}
    complete = {name: {**held, **default}.get(name) for name in levels}
    if missing := [name for name, value in complete.items() if value is None]:
        raise InputError(f"lacks {', '.join(missing)}")
    config = {name: value for name, value in complete.items() if value is not None}
    if landscape.table.find(config) is None:
        raise InputError(f"is not in the recording {landscape.path}")
    return config
