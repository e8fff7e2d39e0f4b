from __future__ import annotations

import json

import numpy as np
import pytest

from tests.bench.importers.engine_files import MISSING, MODEL, SPECULATION, Requests, vllm_record, write
from workbench.base.errors import InputError
from workbench.bench.importers import About, import_results

ABOUT = About(device="NVIDIA_B200", arm="fused", workload="chat")


@pytest.fixture
def read(tmp_path):
    def read(*records, about=ABOUT):
        return import_results(write(tmp_path / "run.json", *records), about).rows

    return read


def refusal(read, *records, about=ABOUT):
    with pytest.raises(InputError) as error:
        read(*records, about=about)
    return error.value


def test_a_run_becomes_a_row(read):
    requests = Requests()
    (row,) = read(vllm_record(requests))
    assert (row.source, row.arm, row.device, row.workload) == ("vllm", "fused", "NVIDIA_B200", "chat")
    assert (row.model, row.status, row.completed, row.failed) == (MODEL, "ok", 400, 0)
    assert (row.concurrency, row.request_rate, row.draft_tokens) == (8, "inf", 0)
    assert (row.input_tokens, row.output_tokens) == (1000, 50)
    assert row.metrics["tpot_p50_ms"].value == pytest.approx(1e3 * np.median(requests.tpots))
    assert row.metrics["ttft_p99_ms"].value == pytest.approx(1e3 * np.percentile(requests.ttfts, 99))
    assert row.metrics["output_tokens_per_s"].value == pytest.approx(400 * 50 / requests.duration)


def test_without_details_only_the_mean_has_an_interval(read):
    (row,) = read(vllm_record())
    assert row.metrics["tpot_mean_ms"].spread == "normal"
    assert row.metrics["tpot_p50_ms"].spread == "none"
    assert row.metrics["tpot_p50_ms"].n == 400


def test_details_give_percentiles_their_intervals(read):
    (row,) = read(vllm_record(details=True))
    p50, itl = row.metrics["tpot_p50_ms"], row.metrics["itl_p50_ms"]
    assert (p50.spread, p50.of, p50.n) == ("ranks", "requests", 400)
    assert p50.low < p50.value < p50.high
    assert (itl.of, itl.n) == ("tokens", 400 * 49)


def test_details_of_failed_requests_are_left_out(read):
    requests = Requests()
    requests.errors[0], requests.ttfts[0], requests.itls[0] = "Traceback", 0.0, []
    (row,) = read(vllm_record(Requests(), details=True, **requests.details))
    assert row.metrics["ttft_p50_ms"].n == 399


def test_details_of_other_requests_than_the_statistics_give_no_interval(read):
    (row,) = read(vllm_record(details=True, latencies=[9.0] * 400))
    assert row.metrics["tpot_p50_ms"].spread == "none"


def test_acceptance_is_over_the_run_and_its_rate_a_fraction(read):
    (row,) = read(vllm_record(**SPECULATION))
    assert row.acceptance_window == "run"
    assert row.metrics["acceptance_length"].value == 2.875
    assert row.metrics["acceptance_rate"].value == 0.625
    assert row.acceptance_per_position == (0.8, 0.6, 0.475)
    assert row.draft_tokens == 3


def test_without_speculation_there_is_no_acceptance(read):
    (row,) = read(vllm_record())
    assert row.acceptance_window is None
    assert "acceptance_length" not in row.metrics


def test_every_record_of_an_appended_file_and_of_a_sweeps_list_is_a_row(read, tmp_path):
    records = [vllm_record(Requests(concurrency=each)) for each in (1, 2, 4)]
    assert [row.concurrency for row in read(*records)] == [1, 2, 4]
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(records, indent=4), encoding="utf-8")
    assert [row.concurrency for row in import_results(path, ABOUT).rows] == [1, 2, 4]


def test_a_run_in_which_nothing_completed_is_a_failed_row_without_figures(read):
    zeros = dict.fromkeys([key for key in vllm_record() if key.endswith("_ms")], 0.0)
    (row,) = read(vllm_record(completed=0, failed=400, total_output_tokens=0, output_throughput=0.0, **zeros))
    assert (row.status, row.reason, row.failed) == ("failed", "no request completed", 400)
    assert row.metrics == {}


@pytest.mark.parametrize(
    "kind, text, status",
    [
        ("RuntimeError", "CUDA out of memory. Tried", "oom"),
        ("TimeoutError", "Server failed to start", "timeout"),
        ("CalledProcessError", "exit 1", "failed"),
    ],
)
def test_a_run_that_a_sweep_gave_up_is_a_row_with_a_status(read, kind, text, status):
    failure = {
        "run_number": 0,
        "error_type": kind,
        "error": text,
        "serve_overrides": {},
        "bench_overrides": {},
    }
    (row,) = read(failure)
    assert (row.status, row.reason) == (status, f"{kind}: {text}")


def test_a_run_that_was_given_up_is_of_its_files_model_and_its_sweeps_concurrency(read):
    failure = {"error_type": "E", "error": "x", "bench_overrides": {"max-concurrency": 64}}
    _, row = read(vllm_record(), failure)
    assert (row.model, row.concurrency) == (MODEL, 64)


def test_a_zero_that_stands_for_nothing_measured_is_no_figure(read):
    zeros = {key: 0.0 for key in vllm_record() if "tpot" in key or "itl" in key}
    (row,) = read(vllm_record(Requests(), **zeros))
    assert "tpot_p50_ms" not in row.metrics
    assert "tokens_per_s_per_user" not in row.metrics


def test_older_files_lack_failed_and_max_concurrency(read):
    (row,) = read(vllm_record(failed=MISSING, backend=MISSING, max_concurrency=MISSING, num_prompts=402))
    assert (row.failed, row.concurrency) == (2, None)


@pytest.mark.parametrize("rate, read_as", [("inf", "inf"), (float("inf"), "inf"), (4.5, 4.5), (None, None)])
def test_request_rates(read, rate, read_as):
    assert read(vllm_record(request_rate=rate))[0].request_rate == read_as


@pytest.mark.parametrize("rate", ["4.5", 0, -1.0, float("nan"), "Infinity"])
def test_a_request_rate_that_is_none_is_refused(read, rate):
    assert refusal(read, vllm_record(request_rate=rate)).key == "request_rate"


@pytest.mark.parametrize(
    "metadata, gpus", [({"tp": "4"}, 4), ({"tensor_parallel_size": 2, "dp": "3"}, 6), ({}, 1)]
)
def test_gpus_are_read_from_metadata(read, metadata, gpus):
    (row,) = read(vllm_record(**metadata))
    assert row.gpus == gpus
    throughput = row.metrics["output_tokens_per_s"].value
    assert row.metrics["tokens_per_s_per_gpu"].value == pytest.approx(throughput / gpus)


@pytest.mark.parametrize("value", [None, "10.4", float("nan"), float("inf"), -3.0, MISSING])
@pytest.mark.parametrize(
    "key",
    ["duration", "completed", "total_output_tokens", "output_throughput", "mean_tpot_ms", "median_tpot_ms"],
)
def test_a_number_that_is_none_names_file_line_record_and_key(read, tmp_path, key, value):
    error = refusal(read, vllm_record(), vllm_record(**{key: value}))
    assert (error.file, error.line, error.key) == (tmp_path / "run.json", 2, f"record 2, {key}")


@pytest.mark.parametrize(
    "changes, key",
    [
        ({"median_tpot_ms": 0.0104, "mean_tpot_ms": 0.0104, "p99_tpot_ms": 0.02}, "median_tpot_ms"),
        ({"median_tpot_ms": 1e7, "mean_tpot_ms": 1e7, "p99_tpot_ms": 2e7}, "median_tpot_ms"),
        ({"duration": 26_000.0}, "output_throughput"),
        ({"median_tpot_us": 10_400.0}, "median_tpot_us"),
        ({"p99_ttft_s": 0.1}, "p99_ttft_s"),
        ({**SPECULATION, "spec_decode_acceptance_rate": 0.625}, "spec_decode_acceptance_rate"),
        ({**SPECULATION, "spec_decode_acceptance_rate": 625.0}, "spec_decode_acceptance_rate"),
        ({**SPECULATION, "spec_decode_acceptance_length": 0.9}, "spec_decode_acceptance_length"),
        ({"p99_tpot_ms": 1.0}, "p99_tpot_ms"),
        ({"total_output_tokens": 0}, "total_output_tokens"),
        ({"max_concurrency": "8"}, "max_concurrency"),
        ({"model_id": MISSING}, "model_id"),
        ({"ttfts": [1.0], "itls": [[1.0]], "output_lens": [2, 2], "errors": [""]}, "ttfts"),
    ],
)
def test_other_units_and_impossible_values_are_refused(read, changes, key):
    assert refusal(read, vllm_record(**changes)).key == key


def test_several_models_in_one_file_are_refused(read):
    error = refusal(read, vllm_record(), vllm_record(model_id="other"))
    assert (error.line, error.key) == (2, "record 2")
    assert "one model in each" in error.message


def test_a_model_that_contradicts_the_files_is_refused(read):
    assert "--model" in refusal(read, vllm_record(), about=About(model="other")).message


def test_an_arm_is_the_label_else_the_files_name(read):
    assert read(vllm_record(label="tuned"), about=About())[0].arm == "tuned"
    assert read(vllm_record(), about=About())[0].arm == "run"
