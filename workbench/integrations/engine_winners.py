"""Winners on disk as an engine can run them: rows of results files whose config is one of its kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from moe_kernels.device_slug import device_slug
from moe_kernels.tuned import Row, Run, TunedFile
from workbench.base.errors import InputError
from workbench.integrations.engines import CONFIG_KEYS
from workbench.trials.winners import read_results_file

# The kernel whose configs the engines' kernels share, and the parameter that tells its variants apart.
KERNEL = "experts"
VARIANT = "fuse_activation"
# Where a row keeps the best config of the engines' variant, where another variant won.
ENGINE_KEY = "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRow:
    """The best config that the engines' kernels can run, at one token count.

    Attributes:
        config: the six keys that both engines take; 0 stands for the engine's own choice.
        evidence: `measured` or `modelled`.
        time_us: microseconds a call.
        default_time_us: of the swept kernel's default config, None where it cannot run.
        ci_us: interval of `time_us`.
        kept_default: True where nothing beat that default.
    """

    config: Mapping[str, int]
    evidence: str
    time_us: float
    default_time_us: float | None
    ci_us: tuple[float, float] | None
    kept_default: bool
    run_id: str
    run: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemWinners:
    """The engines' rows of one results file.

    Attributes:
        path: the results file.
        rows: by token count.
        without_variant: token counts whose row holds no config of the engines' variant.
    """

    path: Path
    file: TunedFile
    rows: Mapping[int, EngineRow]
    without_variant: tuple[int, ...]


def collect_winners(
    folders: Sequence[Path], device: str, kernel: str = KERNEL, evidence: str = "measured"
) -> tuple[ProblemWinners, ...]:
    """The winners of a kernel on a device, a problem each; of several folders, the first that has rows decides.

    Args:
        folders: folders of results, in order.
        device: the device's slug.
        kernel: the kernel's name.
        evidence: `measured`, or `modelled` to admit modelled rows too.

    Raises:
        InputError: a file is damaged.
    """
    by_stem: dict[str, ProblemWinners] = {}
    for folder in folders:
        for path in sorted((folder / device / kernel).glob("*.json")):
            if path.stem not in by_stem and (winners := _read(path, evidence)).rows:
                by_stem[path.stem] = winners
    return tuple(by_stem[stem] for stem in sorted(by_stem))


def results_on_disk(folders: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Every device and kernel that there are results files of."""
    found = {path.parts[-3:-1] for folder in folders for path in folder.glob("*/*/*=*.json")}
    yield from ((device, kernel) for device, kernel in sorted(found) if device != "runs")


def _read(path: Path, evidence: str) -> ProblemWinners:
    file = read_results_file(path)
    _check_identity(path, file)
    admitted = {tokens: row for tokens, row in file.rows.items() if row.evidence in ("measured", evidence)}
    rows = {tokens: _engine_row(path, file, tokens, row) for tokens, row in admitted.items()}
    return ProblemWinners(
        path=path,
        file=file,
        rows={tokens: row for tokens, row in rows.items() if row is not None},
        without_variant=tuple(tokens for tokens, row in rows.items() if row is None),
    )


def _check_identity(path: Path, file: TunedFile) -> None:
    found = {"device": file.device, "kernel": file.kernel, "device_name": device_slug(file.device_name)}
    filed = {"device": path.parts[-3], "kernel": path.parts[-2], "device_name": path.parts[-3]}
    for key, name in found.items():
        if name != filed[key]:
            what = f"damaged: is {name[:60]!r}, but the file is filed under {filed[key]!r}"
            raise InputError(what, file=path, key=key)


def _engine_row(path: Path, file: TunedFile, tokens: int, row: Row) -> EngineRow | None:
    """The row itself where its config is of the engines' variant, else what it keeps of that variant."""
    if not row.config.get(VARIANT, 0):
        fields = {
            name: getattr(row, name) for name in ("time_us", "default_time_us", "ci_us", "kept_default")
        }
        return _checked(path, file, row, {"config": row.config, **fields}, f"rows.{tokens}")
    if ENGINE_KEY not in row.extra:
        return None
    return _checked(path, file, row, row.extra[ENGINE_KEY], f"rows.{tokens}.{ENGINE_KEY}")


def _checked(path: Path, file: TunedFile, row: Row, fields: Any, key: str) -> EngineRow:
    def fail(name: str, message: str) -> NoReturn:
        raise InputError(f"damaged: {message}", file=path, key=f"{key}.{name}" if name else key)

    if not isinstance(fields, dict) or not isinstance(fields.get("config"), Mapping):
        fail("config", "must be an object with the config of the engines' variant")
    config = fields["config"]
    for name in CONFIG_KEYS:
        if type(config.get(name)) is not int or config[name] < 0:
            fail(f"config.{name}", f"must be an integer, got {str(config.get(name))[:40]!r}")
    if config.get(VARIANT, 0):
        fail(f"config.{VARIANT}", "must be 0, the variant that the engines run")
    for name, optional in (("time_us", False), ("default_time_us", True)):
        if not _is_time(fields.get(name), optional):
            fail(name, "must be a positive number")
    return EngineRow(
        config={name: config[name] for name in CONFIG_KEYS},
        evidence=row.evidence,
        time_us=fields["time_us"],
        default_time_us=fields.get("default_time_us"),
        ci_us=_interval(fields.get("ci_us")),
        kept_default=fields.get("kept_default") is True,
        run_id=row.run,
        run=file.runs[row.run],
    )


def _is_time(value: Any, optional: bool) -> bool:
    if value is None:
        return optional
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _interval(value: Any) -> tuple[float, float] | None:
    if isinstance(value, list | tuple) and len(value) == 2 and all(_is_time(end, False) for end in value):
        return float(value[0]), float(value[1])
    return None
