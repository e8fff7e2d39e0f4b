from __future__ import annotations

import pytest

from tests.support.nvtx_recorder import record_ranges
from tests.timeline.traces import FUSED, GEMM, decode_events, kernel, launch, summary_of
from workbench.base.errors import GateError
from workbench.base.ranges import NVTX_VARIABLE
from workbench.timeline.annotate import annotate
from workbench.timeline.liveness import Liveness, check_liveness, require_liveness

FUSED_ARM = Liveness(must=(FUSED,), must_not=("gatherTopK", "bitonicSort"), least_launches={FUSED: 4})


@pytest.fixture
def summary(tmp_path):
    return lambda events: summary_of(tmp_path / "trace.json", events)


def test_an_arm_that_runs_what_it_claims_is_alive(summary):
    assert check_liveness("fused", FUSED_ARM, summary(decode_events("fused"))) == ()


def test_an_arm_that_silently_ran_the_other_kernels_fails_with_every_reason(summary):
    with pytest.raises(GateError) as raised:
        require_liveness({"fused": (FUSED_ARM, summary(decode_events("split")))})
    message = str(raised.value)
    assert raised.value.exit_code == 1
    assert all(text in message for text in ("no kernel matches", "gatherTopK", "bitonicSort"))


def test_too_few_launches_fail(summary):
    (failure,) = check_liveness("fused", FUSED_ARM, summary(decode_events("fused", layers=3)))
    assert "3 times a step, at least 4" in failure


def test_a_graph_that_hides_its_kernels_proves_nothing(summary):
    found = summary([kernel(GEMM, 0, 5), launch(1, 10, name="cudaGraphLaunch")])
    assert "nothing proves" in check_liveness("fused", Liveness(), found)[0]


def test_annotate_shows_in_a_profile_of_torch():
    import torch

    with (
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile,
        annotate("routing"),
    ):
        torch.ones(2) + 1
    assert "routing" in {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("cuda, asked, calls", [(True, "0", 1), (False, "1", 1), (False, "0", 0)])
def test_annotate_names_the_range_for_nsight_too_where_there_is_cuda_or_nvtx_is_asked_for(
    monkeypatch, cuda, asked, calls
):
    import torch

    ranges = record_ranges(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setenv(NVTX_VARIABLE, asked)
    with pytest.raises(KeyError), annotate("experts"):
        raise KeyError
    assert ranges.opened == ["experts"] * calls
    assert not ranges.open
