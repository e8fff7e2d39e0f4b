"""Results of `vllm bench serve --save-result`, one JSON object a run, and of `vllm bench sweep`, lists of them.

What its fields mean is read from vLLM 0.33.0, `vllm/benchmarks/serve.py`; older files lack some of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from workbench.base.errors import InputError
from workbench.base.text import brief
from workbench.bench.figures import Figure, single
from workbench.bench.importers.engine_run import EngineRun, throughput_figures
from workbench.bench.importers.records import MOST, Record
from workbench.bench.rows import Status

MOST_GPUS = 1_000_000
LATENCY_NAMES: Mapping[str, str] = {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2el": "e2el"}


def recognises(record: Record) -> bool:
    """Whether vLLM wrote this record."""
    own = {"model_id", "tokenizer_id", "endpoint_type", "total_token_throughput", "mean_e2el_ms"}
    return bool(own & record.data.keys()) or _is_failure(record)


def read_run(record: Record) -> EngineRun:
    """One run of `vllm bench serve`.

    Raises:
        InputError: names file, line, record and key.
    """
    if _is_failure(record):
        return _failure(record)
    completed, failed = record.count_at("completed"), record.optional_count("failed")
    run = EngineRun(
        model=record.text_at("model_id"),
        label=record.optional_text("label"),
        completed=completed,
        failed=failed if failed is not None else _not_completed(record, completed),
        duration_s=record.number_at("duration"),
        date=record.optional_text("date"),
        gpus=_gpus(record),
        # One event of the stream a gap, and speculation puts several tokens into an event.
        itl_definition="chunk",
    )
    if not completed:
        return run
    if "total_output_tokens" not in record.data and "total_input_sequences" in record.data:
        raise record.error(
            "total_input_sequences", "is of an embedding benchmark; only generation can be imported"
        )
    return run.with_figures(
        throughput_figures(record, run, LATENCY_NAMES, total="total_token_throughput") | _acceptance(record),
        record,
        acceptance_window="run" if record.has("spec_decode_acceptance_length") else None,
        acceptance_per_position=record.numbers("spec_decode_per_position_acceptance_rates", at_most=1.0)
        or (),
        draft_tokens=_draft_tokens(record),
    )


def _is_failure(record: Record) -> bool:
    """`vllm bench sweep` keeps a run that raised as `*.failure.json`."""
    return {"error_type", "error"} <= record.data.keys() and "duration" not in record.data


def _failure(record: Record) -> EngineRun:
    kind, text = record.text_at("error_type"), str(record.data["error"])
    oom, late = "out of memory" in text.lower() or "OutOfMemory" in kind, "Timeout" in kind
    reason = brief(" ".join(f"{kind}: {text}".split()), 300)
    status: Status = "oom" if oom else "timeout" if late else "failed"
    return EngineRun(status=status, reason=reason, concurrency=_overridden(record, "max_concurrency"))


def _overridden(record: Record, name: str) -> int | None:
    """What a sweep set for the run, in either spelling of a command line's option."""
    overrides = record.data.get("bench_overrides")
    values = (
        [overrides.get(each) for each in (name, name.replace("_", "-"))]
        if isinstance(overrides, dict)
        else []
    )
    return next((value for value in values if type(value) is int and 0 < value < MOST), None)


def _not_completed(record: Record, completed: int) -> int | None:
    """Older files do not count failures, but name the number of prompts."""
    prompts = record.optional_count("num_prompts")
    return None if prompts is None or prompts < completed else prompts - completed


def _gpus(record: Record) -> int | None:
    """From `--metadata tp=2` and the like, whose values are strings; None where nothing is said."""
    sizes = [
        _size(record, names)
        for names in (
            ("tensor_parallel_size", "tp"),
            ("pipeline_parallel_size", "pp"),
            ("data_parallel_size", "dp"),
        )
    ]
    known = [size for size in sizes if size is not None]
    product = 1
    for size in known:
        product *= size
    return product if known else None


def _size(record: Record, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = record.data.get(name)
        if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 9:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < MOST_GPUS:
            return value
    return None


def _acceptance(record: Record) -> dict[str, Figure]:
    """Acceptance over the run: 1 + accepted / drafts, and the rate, which vLLM writes in percent."""
    if not record.has("spec_decode_acceptance_length"):
        return {}
    length = record.number_at("spec_decode_acceptance_length", at_least=1.0)
    percent = record.number_at("spec_decode_acceptance_rate", at_most=100.0)
    drafts = record.optional_count("spec_decode_num_drafts") or 0
    if (wrong := _why_no_percent(record, percent)) is not None:
        raise wrong
    return {
        "acceptance_length": single(length, max(drafts, 1), "tokens"),
        "acceptance_rate": single(percent / 100.0, max(drafts, 1), "tokens"),
    }


def _why_no_percent(record: Record, percent: float) -> InputError | None:
    drafted = record.optional_count("spec_decode_draft_tokens")
    accepted = record.optional_count("spec_decode_accepted_tokens")
    if not drafted or not accepted or abs(percent - accepted / drafted) > 0.01 * accepted / drafted:
        return None
    what = f"is {percent:g}, which is accepted over drafted tokens as a fraction; it must be in percent"
    return record.error("spec_decode_acceptance_rate", what)


def _draft_tokens(record: Record) -> int | None:
    """Tokens drafted a step; 0 where vLLM's server has no counters of speculation."""
    drafts, tokens = (record.optional_count(f"spec_decode_{each}") for each in ("num_drafts", "draft_tokens"))
    if not record.has("spec_decode_acceptance_length"):
        return 0
    return round(tokens / drafts) if drafts and tokens else None
