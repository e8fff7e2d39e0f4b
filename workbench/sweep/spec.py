"""The sweep file: what it may hold, and whether it fits the kernel that it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from moe_kernels.tunable import Axis, Parameter, TunableKernel
from workbench.base.errors import InputError
from workbench.base.text import KeyPath, brief, shown, suggestion
from workbench.base.validation import complaints, validate
from workbench.base.yaml import YamlSource, read_yaml
from workbench.measure.race import MeasureSettings
from workbench.replay.noise import Noise
from workbench.sweep.constraints import Constraint

DEVICE_FILES = (".yaml", ".yml")
_ROUTING = re.compile(r"uniform|zipf(:[0-9]+(\.[0-9]+)?)?|recorded:.+")
_RACE = MeasureSettings()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KERNEL = re.compile(r"[A-Za-z0-9_-]+|(vllm|sglang)\.\w+|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def _listed(value: Any) -> Any:
    if isinstance(value, int | float | str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


# One value may stand for a list of one, in the file and so in its JSON Schema.
Axes = Annotated[
    tuple[int | str, ...], BeforeValidator(_listed, json_schema_input_type=int | str | list[int | str])
]
Values = Annotated[
    tuple[int | float | str, ...],
    BeforeValidator(_listed, json_schema_input_type=int | float | str | list[int | float | str]),
]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Search(_Section):
    """How configs are picked."""

    strategy: Literal["auto", "optuna", "random", "exhaustive", "ranked"] = Field(
        default="auto",
        description="`auto`: a model of all that is known so far; `optuna`: Optuna's TPE; `random`: drawn without "
        "repeating; `exhaustive`: every config in the file's order; `ranked`: in the order of the model's prior.",
    )
    trials: int = Field(
        default=400, ge=1, description="The most configs tried per problem, the default beside them."
    )
    seed: int = Field(default=0, ge=0, lt=1 << 32, description="Of whatever is drawn.")


class Measure(_Section):
    """How a GPU that is there is timed."""

    relative_ci: float = Field(
        default=_RACE.relative_ci,
        gt=0,
        lt=1,
        description="Rounds stop once half the interval of a config's ratio to the default, over the ratio, is this.",
    )
    routing: Names = Field(
        default=("uniform",),
        description="How tokens spread over experts in the inputs: `uniform`, `zipf`, `zipf:EXPONENT` or "
        "`recorded:PATH`, or several, of which a winner must lose on none.",
    )
    max_rounds: int = Field(
        default=_RACE.max_rounds,
        ge=5,
        description="The most rounds of one problem, however wide the interval still is.",
    )
    max_seconds: float = Field(
        default=60.0, gt=0, description="The most seconds spent on one problem's rounds."
    )

    @property
    def settings(self) -> MeasureSettings:
        """What the race of each problem's configs is run with."""
        return MeasureSettings(
            relative_ci=self.relative_ci,
            max_rounds=self.max_rounds,
            max_seconds=self.max_seconds,
            min_rounds=min(_RACE.min_rounds, self.max_rounds),
        )

    @field_validator("routing")
    @classmethod
    def _known_routing(cls, routing: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [each for each in routing if not _ROUTING.fullmatch(each)]:
            allowed = "uniform, zipf, zipf:EXPONENT, recorded:FILE.npy, or a list of these"
            raise ValueError(f"{brief(unknown[0], 60)!r} is no routing; allowed: {allowed}")
        return routing


class Verify(_Section):
    """How configs are checked before any timing."""

    seeds: int = Field(default=3, ge=1, le=1000, description="How many inputs are drawn.")


class Evaluate(_Section):
    """Where times come from, other than from compiling and timing."""

    replay: Names = Field(
        description="Recordings (our journals, Kernel Tuner's cache files), relative to the sweep file; several are a "
        "family."
    )
    noise: Literal["none"] | Noise = Field(
        default="none", description="`none`, or the noise to draw over the recorded times."
    )


class SweepSpec(_Section):
    """A sweep: a kernel, its problems, and the configs to try; or a recording to replay."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["kernel", "problems"]}, {"required": ["evaluate"]}]}
    )

    name: str = Field(
        description="A plain word; runs are named after it.",
        json_schema_extra={"pattern": f"^({_NAME.pattern})$"},
    )
    kernel: str = Field(
        default="",
        description="A shipped kernel (`routing`, `experts`, `experts_decode`, `experts_backend`), or "
        "`package.module:NAME` for one of your own.",
        json_schema_extra={"pattern": f"^({_KERNEL.pattern})$"},
    )
    device: Names = Field(
        default=("auto",),
        description="Slugs, aliases, `auto` or YAML files (relative to the sweep file).",
    )
    problems: dict[str, Axes] = Field(
        default={}, description="The values of every axis of the kernel; the problems are their product."
    )
    space: dict[str, Values] = Field(
        default={},
        description="The values to try of some parameters of the kernel; the others stay at their default.",
    )
    constraints: Names = Field(
        default=(), description="Expressions over axes and parameters that every config must satisfy."
    )
    search: Search = Search()
    measure: Measure = Measure()
    verify: Verify = Verify()
    seeds: Names = Field(
        default=(),
        description="Recordings and results files with configs to start from, relative to the sweep file.",
    )
    evaluate: Evaluate | None = Field(
        default=None,
        description="A recording to replay; device, kernel, problems and space then come from it.",
    )
    default: dict[str, int | float | str] = Field(
        default={}, description="The baseline of a replayed sweep, by parameter."
    )

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            allowed = "1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit; it is no path"
            raise ValueError(f"{brief(name, 60)!r} is no name; allowed: {allowed}")
        return name

    @field_validator("kernel")
    @classmethod
    def _kernel_reference(cls, kernel: str) -> str:
        if not _KERNEL.fullmatch(kernel):
            allowed = "the name of a shipped kernel, or package.module:NAME for one of your own"
            raise ValueError(f"{brief(kernel, 60)!r} names no kernel; allowed: {allowed}")
        return kernel


@dataclass(frozen=True, slots=True)
class LoadedSpec:
    """A sweep file that has been read, with what an error needs to point into it.

    Attributes:
        spec: the sweep as the file has it, or as the command line overrides it.
    """

    spec: SweepSpec
    source: YamlSource
    constraints: tuple[Constraint, ...]

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices, with the paths of YAML files made relative to where the sweep file is."""
        folder = self.source.file.parent
        return tuple(str(folder / each) if each.endswith(DEVICE_FILES) else each for each in self.spec.device)

    def path(self, name: str) -> Path:
        """A path that the file names, relative to where it is."""
        return self.source.file.parent / name

    def override(
        self, *, device: str | None = None, trials: int | None = None, seed: int | None = None
    ) -> LoadedSpec:
        """The same sweep with what the command line says; a device's file is relative to the current folder.

        Raises:
            InputError: a number is out of range.
        """
        search = self.spec.search.model_dump()
        search |= {key: value for key, value in (("trials", trials), ("seed", seed)) if value is not None}
        try:
            changes: dict[str, Any] = {"search": Search(**search)}
        except ValidationError as error:
            ((path, message),) = list(complaints(Search, search, error).items())[:1]
            raise InputError(message, key=f"--{path[0]}") from None
        if device is not None:
            changes["device"] = (str(Path(device).absolute()) if device.endswith(DEVICE_FILES) else device,)
        return replace(self, spec=self.spec.model_copy(update=changes))

    def error(self, message: str, *key_path: str | int) -> InputError:
        """An error that points at a key; the index of a scalar that stands for a list of one is left out."""
        path: KeyPath = key_path
        if path and isinstance(path[-1], int) and path not in self.source.lines:
            path = path[:-1]
        return self.source.error(message, path)

    @contextmanager
    def located(self, *key_path: str | int) -> Iterator[None]:
        """Gives an `InputError` that knows no file the place of a key of this one."""
        try:
            yield
        except InputError as error:
            if error.file is not None:
                raise
            raise self.error(error.message, *key_path) from error.__cause__


def load_spec(path: str | Path) -> LoadedSpec:
    """Reads a sweep file, as far as it can be judged without its kernel.

    Raises:
        InputError: names file, line and key, and says what is allowed.
    """
    source = read_yaml(Path(path))
    loaded = LoadedSpec(validate(SweepSpec, source), source, ())
    _check_sections(loaded)
    _check_list(loaded, loaded.spec.device, "device")
    for section in ("problems", "space"):
        for name, values in getattr(loaded.spec, section).items():
            _check_list(loaded, values, section, name)
    return replace(loaded, constraints=tuple(_constraints(loaded)))


def _check_sections(loaded: LoadedSpec) -> None:
    """A sweep names its kernel and problems, a replayed one takes them from the recording."""
    given = loaded.source.data
    if loaded.spec.evaluate is None:
        for missing in (key for key in ("kernel", "problems") if key not in given):
            raise loaded.error("is missing", missing)
        if "default" in given:
            raise loaded.error("is for replayed sweeps only; a kernel has a default of its own", "default")
        return
    for key in ("device", "kernel", "problems", "space"):
        if key in given:
            raise loaded.error("comes from the recording; leave it out beside evaluate.replay", key)
    _check_list(loaded, loaded.spec.evaluate.replay, "evaluate", "replay")


def _constraints(loaded: LoadedSpec) -> Iterator[Constraint]:
    for index, text in enumerate(loaded.spec.constraints):
        with loaded.located("constraints", index):
            yield Constraint(text)


def _check_list(loaded: LoadedSpec, values: tuple[Any, ...], *key_path: str) -> None:
    if not values:
        raise loaded.error("is empty; at least one value is needed", *key_path)
    seen = set()
    for index, value in enumerate(values):
        if (type(value), value) in seen:
            raise loaded.error(f"{shown(value)} is listed twice", *key_path, index)
        seen.add((type(value), value))


def resolve_kernel(loaded: LoadedSpec) -> TunableKernel:
    """Finds the kernel that a sweep names, as its problems see it, and checks that the sweep fits it; imports torch.

    Raises:
        InputError: names file, line and key: there is no such kernel, it cannot be imported, or the sweep's
            problems, space or constraints do not fit it.
    """
    from workbench.sweep.kernels import load_kernel

    with loaded.located("kernel"):
        try:
            kernel = load_kernel(loaded.spec.kernel)
        except SystemExit as error:
            raise InputError(f"importing {loaded.spec.kernel!r} exits Python ({error.code!r})") from None
    seen = _seen(loaded, kernel)
    check_kernel(loaded, seen)
    return seen


def _seen(loaded: LoadedSpec, kernel: TunableKernel) -> TunableKernel:
    """The kernel as all problems of a sweep see it; they share a run, and so the source hash of what they run."""
    given = {name: values[0] for name, values in loaded.spec.problems.items()}
    first = kernel.of(given)
    for index, dtype in enumerate(loaded.spec.problems.get("dtype", ())):
        other = kernel.of({**given, "dtype": dtype})
        if (other.kernels, other.axes, other.parameters) != (first.kernels, first.axes, first.parameters):
            what = f"{dtype!r} and {given['dtype']!r} run different code; give each a sweep of its own"
            raise loaded.error(what, "problems", "dtype", index)
    return first


def check_kernel(loaded: LoadedSpec, kernel: TunableKernel) -> None:
    """Checks that a sweep's problems, space and constraints fit a kernel.

    Raises:
        InputError: names file, line and key, and says what the kernel has.
    """
    axes = {axis.name: axis for axis in kernel.axes}
    parameters = {parameter.name: parameter for parameter in kernel.parameters}
    _check_described(loaded, kernel, axes, parameters)
    _check_section(loaded, "problems", axes, _why_no_axis_value)
    for missing in (name for name in axes if name not in loaded.spec.problems):
        what = f"axis {missing!r} is missing; {kernel.name} has {', '.join(axes)}"
        raise loaded.error(what, "problems")
    _check_section(loaded, "space", parameters, _why_no_parameter_value)
    for index, constraint in enumerate(loaded.constraints):
        with loaded.located("constraints", index):
            constraint.check_names((*axes, *parameters))


def _check_described(
    loaded: LoadedSpec, kernel: TunableKernel, axes: Mapping[str, Axis], parameters: Mapping[str, Parameter]
) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", kernel.name):
        what = f"the kernel's name {brief(kernel.name, 60)!r} must be letters, digits, '_' and '-'"
        raise loaded.error(what, "kernel")
    if shared := sorted(axes.keys() & parameters.keys()):
        what = f"{kernel.name} has both an axis and a parameter named {shared[0]!r}; rename one of them"
        raise loaded.error(what, "kernel")


def _check_section(
    loaded: LoadedSpec, section: str, described: Mapping[str, Any], why_not: Callable[[Any, Any], str | None]
) -> None:
    given: Mapping[str, Iterable[Any]] = getattr(loaded.spec, section)
    for name, values in given.items():
        if name not in described:
            kind = "axis" if section == "problems" else "parameter"
            allowed = f"{suggestion(name, list(described))}; allowed: {', '.join(described) or 'none'}"
            raise loaded.error(f"unknown {kind}{allowed}", section, name)
        for index, value in enumerate(values):
            if reason := why_not(described[name], value):
                raise loaded.error(f"{reason}, got {shown(value)}", section, name, index)


def _why_no_axis_value(axis: Axis, value: int | str) -> str | None:
    if axis.kind == "dtype":
        return None if value in axis.words else f"must be one of {', '.join(axis.words)}"
    return None if isinstance(value, int) and value > 0 else "must be a positive integer"


def _why_no_parameter_value(parameter: Parameter, value: int | float | str) -> str | None:
    expected = type(parameter.default)
    words = {int: "an integer", float: "a number with a decimal point", str: "a string"}
    return None if type(value) is expected else f"must be {words.get(expected, expected.__name__)}"


def resolved(loaded: LoadedSpec) -> dict[str, Any]:
    """The sweep with every default filled in, as JSON can hold it; equal for files that mean the same."""
    return loaded.spec.model_dump(mode="json")
