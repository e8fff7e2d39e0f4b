from __future__ import annotations

from dataclasses import replace

import pytest

from workbench.base.errors import IncomparableError
from workbench.bench.comparable import check_comparable
from workbench.bench.figures import single
from workbench.bench.rows import BenchRow

ROW = BenchRow(
    source="vllm",
    arm="split",
    device="NVIDIA_B200",
    model="gemma",
    input_tokens=1000.0,
    output_tokens=1000.0,
    metrics={"itl_p50_ms": single(1.0), "acceptance_length": single(2.0)},
    acceptance_window="run",
    itl_definition="chunk",
    draft_tokens=3,
)


def test_arms_loads_and_sources_may_differ():
    check_comparable([ROW, replace(ROW, arm="fused", concurrency=8, source="sglang", input_tokens=1030.0)])


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"device": "NVIDIA_H200"}, "device: NVIDIA_B200 against NVIDIA_H200"),
        ({"model": None}, "model: gemma against unknown"),
        ({"gpus": 2}, "gpus: 1 against 2"),
        ({"workload": "chat"}, "workload: unknown against chat"),
        ({"input_tokens": 8000.0}, "input_tokens: 1000 against 8000"),
        ({"output_tokens": 900.0}, "output_tokens: 900 against 1000"),
    ],
)
def test_what_must_agree_is_named_with_both_values(changes, said):
    with pytest.raises(IncomparableError) as error:
        check_comparable([ROW, replace(ROW, **changes)])
    assert said in str(error.value)
    assert error.value.exit_code == 2


def test_every_key_that_differs_is_named():
    with pytest.raises(IncomparableError, match=r"device: .*; model: .*; input_tokens: "):
        check_comparable([ROW, replace(ROW, device="x", model="y", input_tokens=1.0)])


def test_failed_rows_say_less_of_themselves():
    failed = replace(ROW, status="oom", input_tokens=None, output_tokens=None, model=None, gpus=4)
    check_comparable([ROW, failed])
    with pytest.raises(IncomparableError, match="model"):
        check_comparable([ROW, replace(failed, model="other")])
    with pytest.raises(IncomparableError, match="device"):
        check_comparable([ROW, replace(failed, device="NVIDIA_H200")])
