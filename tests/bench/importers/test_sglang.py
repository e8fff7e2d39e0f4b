from __future__ import annotations

import pytest

from tests.bench.importers.engine_files import (
    MISSING,
    MODEL,
    SPECULATION,
    Requests,
    sglang_record,
    vllm_record,
    write,
)
from workbench.base.errors import InputError
from workbench.bench.comparable import check_comparable
from workbench.bench.importers import About, import_results


@pytest.fixture
def read(tmp_path):
    def read(*records, about=None):
        return import_results(write(tmp_path / "run.jsonl", *records), about or About()).rows

    return read


def test_every_line_is_a_row(read):
    rows = read(*(sglang_record(Requests(concurrency=each)) for each in (1, 8, 64)))
    assert [row.concurrency for row in rows] == [1, 8, 64]


def test_the_newest_files_name_model_version_and_gpus(read):
    (row,) = read(sglang_record())
    assert (row.source, row.model, row.gpus, row.versions) == ("sglang", MODEL, 2, {"sglang": "0.5.23"})
    assert row.request_rate == "inf"


def test_data_parallel_attention_shares_its_gpus(read):
    info = {"model_path": MODEL, "tp_size": 8, "pp_size": 1, "dp_size": 8, "enable_dp_attention": True}
    assert read(sglang_record(server_info=info))[0].gpus == 8


def test_older_files_lack_server_info_tag_and_percentiles(read):
    lacking = {key: MISSING for key in sglang_record() if key.startswith(("p90", "p95"))}
    record = sglang_record(server_info=MISSING, tag=MISSING, total_throughput=MISSING, **lacking)
    (row,) = read(record, about=About(model="mine", gpus=4))
    assert (row.model, row.gpus, row.draft_tokens) == ("mine", 4, None)
    assert "tpot_p99_ms" in row.metrics
    assert "tpot_p90_ms" not in row.metrics


def test_acceptance_is_since_the_servers_start(read):
    (row,) = read(sglang_record(accept_length=2.9))
    assert row.acceptance_window == "server_start"
    assert row.metrics["acceptance_length"].value == 2.9


@pytest.mark.parametrize("length", [None, 0.0])
def test_no_speculation_is_no_acceptance(read, length):
    assert read(sglang_record(accept_length=length))[0].acceptance_window is None


@pytest.mark.parametrize("length", [0.5, "2.9", float("nan")])
def test_an_impossible_acceptance_is_refused(read, length):
    with pytest.raises(InputError, match="accept_length"):
        read(sglang_record(accept_length=length))


@pytest.mark.parametrize(
    "backend, length, definition",
    [
        ("sglang", None, "token"),
        ("sglang-oai", None, "chunk"),
        ("sglang-oai", 2.0, "token"),
        ("vllm", 2.0, "chunk"),
    ],
)
def test_what_an_inter_token_latency_is_depends_on_the_client(read, backend, length, definition):
    assert read(sglang_record(backend=backend, accept_length=length))[0].itl_definition == definition


def test_details_count_failed_requests_and_give_intervals(read):
    (row,) = read(sglang_record(details=True, errors=["boom"] + [""] * 399))
    assert row.failed == 1
    assert row.metrics["ttft_p50_ms"].spread == "ranks"


def test_a_line_that_was_cut_off_is_refused(tmp_path):
    path = write(tmp_path / "run.jsonl", sglang_record(), sglang_record())
    path.write_text(path.read_text()[:-100])
    with pytest.raises(InputError, match="malformed JSON") as error:
        import_results(path, About())
    assert error.value.line == 2


def test_two_engines_in_one_file_are_refused(read):
    with pytest.raises(InputError, match="the engine is"):
        read(sglang_record(), vllm_record())


def test_a_record_of_no_engine_is_refused(read):
    with pytest.raises(InputError, match="no known engine"):
        read({"throughput": 3})


def test_acceptance_of_vllm_and_of_sglang_is_not_compared(read):
    (ours,) = read(sglang_record(accept_length=2.9, server_info=MISSING), about=About(model=MODEL))
    (theirs,) = read(vllm_record(**SPECULATION))
    check_comparable([ours, theirs])
    assert (ours.acceptance_window, theirs.acceptance_window) == ("server_start", "run")
