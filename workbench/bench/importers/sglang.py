"""Results of SGLang's `bench_serving`: JSON Lines, one line appended a run.

What its fields mean is read from SGLang 0.5.23, `sglang/benchmark/serving.py`; older files lack some of them, and none
but the newest name the model (in `server_info`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.base.text import brief
from workbench.bench.figures import Figure, single
from workbench.bench.importers.engine_run import EngineRun, throughput_figures
from workbench.bench.importers.records import Record
from workbench.bench.rows import ItlDefinition

MOST_GPUS = 1_000_000
LATENCY_NAMES: Mapping[str, str] = {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2el": "e2e_latency"}
_TOKEN_BACKENDS = ("sglang", "sglang-native")
_CHAT_BACKENDS = ("sglang-oai", "sglang-oai-chat")


def recognises(record: Record) -> bool:
    """Whether SGLang wrote this record."""
    own = {"mean_e2e_latency_ms", "accept_length", "random_range_ratio", "sharegpt_output_len"}
    return bool(own & record.data.keys())


def read_run(record: Record) -> EngineRun:
    """One run of `bench_serving`.

    Raises:
        InputError: names file, line, record and key.
    """
    server = _server(record)
    completed, accepted = record.count_at("completed"), _accept_length(record)
    run = EngineRun(
        model=_text(server.get("model_path")),
        label=record.optional_text("tag"),
        completed=completed,
        failed=_failed(record),
        duration_s=record.number_at("duration"),
        gpus=_gpus(server),
        itl_definition=_itl_definition(record, accepted is not None),
        versions={"sglang": version} if (version := _text(server.get("version"))) else {},
    )
    if not completed:
        return run
    return run.with_figures(
        throughput_figures(record, run, LATENCY_NAMES, total="total_throughput")
        | ({"acceptance_length": accepted} if accepted else {}),
        record,
        acceptance_window="server_start" if accepted else None,
        draft_tokens=_draft_tokens(server, accepted is not None),
    )


def _server(record: Record) -> Mapping[str, Any]:
    info = record.data.get("server_info")
    return info if isinstance(info, dict) else {}


def _text(value: Any) -> str | None:
    return brief(value, 200) if isinstance(value, str) and value else None


def _failed(record: Record) -> int | None:
    """SGLang does not count failures; its details name each request's error."""
    errors = record.data.get("errors")
    return sum(map(bool, errors)) if isinstance(errors, list) else None


def _accept_length(record: Record) -> Figure | None:
    """The server's average since its start; null without speculation, 0 before its first step."""
    value = record.optional_number("accept_length")
    if not value:
        return None
    return single(record.number_at("accept_length", at_least=1.0), 1, "runs")


def _itl_definition(record: Record, speculates: bool) -> ItlDefinition:
    """The native client divides a gap by its tokens; the OpenAI one only retokenizes where there is speculation."""
    backend = record.text_at("backend")
    return "token" if backend in _TOKEN_BACKENDS or (speculates and backend in _CHAT_BACKENDS) else "chunk"


def _gpus(server: Mapping[str, Any]) -> int | None:
    sizes = {name: server.get(f"{name}_size") for name in ("tp", "pp", "dp")}
    if not all(isinstance(size, int) and 0 < size < MOST_GPUS for size in sizes.values()):
        return None
    # Under data-parallel attention the replicas share the tensor-parallel ranks.
    replicas = 1 if server.get("enable_dp_attention") else int(sizes["dp"] or 1)
    return int(sizes["tp"] or 1) * int(sizes["pp"] or 1) * replicas


def _draft_tokens(server: Mapping[str, Any], speculates: bool) -> int | None:
    """Without speculation 0, as far as a server that was asked says so."""
    drafted = server.get("speculative_num_draft_tokens")
    if isinstance(drafted, int) and drafted >= 0:
        return drafted
    return 0 if server and not speculates else None
