"""Winners, trials and raw samples as pandas data frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.base.errors import InputError
from workbench.base.frames import Dtype, frame_of
from workbench.trials.journal import read_about, read_samples, read_trials
from workbench.trials.recorded_run import find_run, slug_and_kernel
from workbench.trials.winners import FiledWinner, kernel_at_hand, read_winners

if TYPE_CHECKING:
    from pandas import DataFrame

    from workbench.trials.trial import Trial


def _end(name: str, which: int) -> Callable[[Any], float | None]:
    get = attrgetter(name)
    return lambda record: get(record) and get(record)[which]


def _most(resource: str) -> Callable[[Trial], int | None]:
    get = attrgetter(resource)
    return lambda trial: max(map(get, trial.resources), default=None)


_WINNERS: Mapping[str, tuple[Dtype, Callable[[FiledWinner], Any]]] = {
    "device": ("string", attrgetter("device")),
    "kernel": ("string", attrgetter("kernel")),
    "tokens": ("Int64", attrgetter("tokens")),
    "evidence": ("string", attrgetter("row.evidence")),
    "time_us": ("float64", attrgetter("row.time_us")),
    "time_low_us": ("float64", _end("row.ci_us", 0)),
    "time_high_us": ("float64", _end("row.ci_us", 1)),
    "default_time_us": ("float64", attrgetter("row.default_time_us")),
    "speedup": ("float64", attrgetter("row.speedup")),
    "kept_default": ("boolean", attrgetter("row.kept_default")),
    "source": ("string", attrgetter("source")),
    "date": ("string", attrgetter("date")),
    "age_days": ("Int64", attrgetter("age_days")),
    "run": ("string", attrgetter("row.run")),
    "file": ("string", attrgetter("file")),
}
_TRIALS: Mapping[str, tuple[Dtype, Callable[[Trial], Any]]] = {
    "trial": ("string", attrgetter("trial")),
    "stage": ("string", attrgetter("stage")),
    "status": ("string", attrgetter("status")),
    "reason": ("string", attrgetter("reason")),
    "evidence": ("string", attrgetter("evidence")),
    "time_us": ("float64", attrgetter("time_us")),
    "time_low_us": ("float64", _end("ci_us", 0)),
    "time_high_us": ("float64", _end("ci_us", 1)),
    "ratio": ("float64", attrgetter("ratio")),
    "ratio_low": ("float64", _end("ratio_ci", 0)),
    "ratio_high": ("float64", _end("ratio_ci", 1)),
    "verified": ("boolean", lambda trial: trial.verified_on is not None),
    "launches": ("Int64", lambda trial: len(trial.resources) or None),
    "registers": ("Int64", _most("registers")),
    "spill_bytes": ("Int64", _most("spill_bytes")),
    "shared_bytes": ("Int64", _most("shared_bytes")),
}
_SAMPLES: Mapping[str, tuple[Dtype, Callable[[Mapping[str, Any]], Any]]] = {
    "name": ("string", itemgetter("name")),
    "routing": ("string", lambda sample: sample.get("routing")),
    "round": ("Int64", itemgetter("round")),
    "position": ("Int64", itemgetter("position")),
    "time_us": ("float64", itemgetter("time_us")),
    "sm_mhz": ("Int64", itemgetter("sm_mhz")),
    "used": ("boolean", itemgetter("used")),
    "flags": ("string", lambda sample: " ".join(sample["flags"])),
}


def winners(folder: str | Path | None = None, *, check_source: bool = False) -> DataFrame:
    """The winners in a folder of results: a row a rung of the ladder of a results file.

    | column | dtype | |
    |---|---|---|
    | `device` | string | the device's slug |
    | `kernel` | string | the kernel's name |
    | `tokens` | Int64 | the rung: tokens, or whatever the kernel's ladder counts |
    | `evidence` | string | `measured`, `modelled` or `replayed` |
    | `time_us` | float64 | microseconds a call |
    | `time_low_us`, `time_high_us` | float64 | its interval, where measured |
    | `default_time_us` | float64 | the default config's, missing where it cannot run |
    | `speedup` | float64 | the default's time over the winner's |
    | `kept_default` | boolean | nothing beat the default |
    | `source` | string | `current` or `changed`: whether the kernel's source is the tuned one; `unknown` |
    | `date` | string | when it was found, ISO 8601 |
    | `age_days` | Int64 | whole days since |
    | `run` | string | the run that found it |
    | `file` | string | the results file |
    | `problem_<axis>` | by its values | every axis but the ladder |
    | `config_<parameter>` | by its values | missing where the kernel has no such parameter |

    Args:
        folder: of results; otherwise the folders that a lookup reads.
        check_source: compares each kernel's source with the tuned one, which imports the kernels and torch.

    Raises:
        InputError: there is no such folder, or a file in it is damaged.
    """
    from moe_kernels.tuned import results_folders

    folders = [Path(folder)] if folder is not None else [each.path for each in results_folders()]
    if folder is not None and not folders[0].is_dir():
        raise InputError("is no folder", file=folder)
    find_kernel = kernel_at_hand if check_source else lambda name, problem: None
    return winners_frame(read_winners(folders, find_kernel))


def winners_frame(winners: Sequence[FiledWinner]) -> DataFrame:
    """Winners as `winners` describes them."""
    groups = {"problem": attrgetter("problem"), "config": attrgetter("row.config")}
    return frame_of(winners, _WINNERS, groups)


def trials(run: str | Path, results: str | Path = "results") -> DataFrame:
    """The trials of a sweep's run: a row a trial, in the order in which their results were known.

    | column | dtype | |
    |---|---|---|
    | `run`, `device`, `kernel` | string | the run's id, the device's slug, the kernel's name |
    | `trial` | string | hash of kernel source, problem, config and device |
    | `stage` | string | the last that it reached: `space`, `compile`, `screen`, `verify`, `measure` |
    | `status` | string | `ok`, `pruned`, `compile_error`, `out_of_resources`, `wrong_result`, `timeout`, ... |
    | `reason` | string | why it is not ok |
    | `evidence` | string | of its time: `measured`, `modelled`, `replayed`, or `none` |
    | `time_us` | float64 | microseconds a call |
    | `time_low_us`, `time_high_us` | float64 | its interval, where measured |
    | `ratio` | float64 | time over the default's, the median of paired rounds where measured |
    | `ratio_low`, `ratio_high` | float64 | its interval, where measured |
    | `verified` | boolean | its result was compared with the reference |
    | `launches` | Int64 | kernel launches a call, missing where it was not compiled |
    | `registers` | Int64 | 32-bit registers a thread, the most of any launch |
    | `spill_bytes` | Int64 | local memory a thread, the most of any launch |
    | `shared_bytes` | Int64 | shared memory a block, the most of any launch |
    | `problem_<axis>` | by its values | every axis of the problem |
    | `config_<parameter>` | by its values | every parameter of the config |

    Args:
        run: its folder, its id, or how its id begins.
        results: the folder of results whose `runs/` holds it.

    Raises:
        InputError: there is no such run, or its journal is damaged.
    """
    folder = find_run(str(run), Path(results))
    device, kernel = slug_and_kernel(read_about(folder / "sweep.json"))
    frame = frame_of(
        list(read_trials(folder / "trials.jsonl")),
        _TRIALS,
        {"problem": attrgetter("problem"), "config": attrgetter("config")},
    )
    about = {"run": folder.resolve().name, "device": device, "kernel": kernel}
    for place, (name, value) in enumerate(about.items()):
        frame.insert(place, name, value)
    return frame.astype(dict.fromkeys(about, "string"))


def samples(run: str | Path, results: str | Path = "results") -> DataFrame:
    """The raw samples of a run that was timed or replayed: a row a sample; none of a modelled run.

    | column | dtype | |
    |---|---|---|
    | `name` | string | what was sampled: the `trial` of `trials`; `default` and `default again` in every round |
    | `routing` | string | the distribution of the inputs |
    | `round` | Int64 | of the batch, from 0 |
    | `position` | Int64 | place in the round's order, from 0 |
    | `time_us` | float64 | microseconds a call |
    | `sm_mhz` | Int64 | SM clock right after the round, missing where unknown |
    | `used` | boolean | False for a round that was taken once more |
    | `flags` | string | why the round counts as throttled, empty where it does not |

    Args:
        run: its folder, its id, or how its id begins.
        results: the folder of results whose `runs/` holds it.

    Raises:
        InputError: there is no such run, or its samples are damaged.
    """
    folder = find_run(str(run), Path(results))
    return frame_of(list(read_samples(folder / "samples.jsonl")), _SAMPLES)
