from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.nvtx_recorder import record_ranges
from workbench.base.ranges import (
    NVTX_VARIABLE,
    in_range,
    marked,
    nvtx_asked,
    nvtx_environment,
    nvtx_range,
    nvtx_ranges,
)


@pytest.fixture
def ranges(monkeypatch):
    monkeypatch.delenv(NVTX_VARIABLE, raising=False)
    return record_ranges(monkeypatch)


def fail():
    raise KeyError


def test_nobody_asks_nobody_gets(ranges):
    with nvtx_ranges(asked=False), marked("one"):
        assert in_range("two", fail) is fail
        assert nvtx_environment() == {}
    assert ranges.opened == []


def test_ranges_nest_and_close_when_an_exception_passes_through(ranges):
    with nvtx_ranges(asked=True), pytest.raises(KeyError), marked("batch"):
        in_range("step", lambda: in_range("draft", fail)())()
    assert ranges.opened == ["batch", "batch/step", "batch/step/draft"]
    assert ranges.open == []


def test_a_range_can_be_entered_within_itself(ranges):
    with nvtx_ranges(asked=True):
        down = in_range("down", lambda depth: depth and down(depth - 1))
        down(2)
    assert ranges.opened == ["down", "down/down", "down/down/down"]
    assert ranges.open == []


def test_processes_started_within_inherit_the_wish_and_afterwards_all_is_as_before(ranges, monkeypatch):
    with nvtx_ranges(asked=True):
        assert os.environ[NVTX_VARIABLE] == nvtx_environment()[NVTX_VARIABLE] == "1"
    assert not nvtx_asked()
    monkeypatch.setenv(NVTX_VARIABLE, "1")
    with nvtx_ranges(asked=False):
        assert nvtx_asked()
    assert nvtx_asked()


def test_the_real_package_takes_what_it_is_given():
    shown = nvtx_range("step")
    with shown, shown:
        pass


def test_a_decode_step_imports_no_nvtx():
    code = (
        "import sys, torch; from workbench.models.gemma4 import Gemma4Config, Gemma4ForCausalLM as M;"
        "from workbench.models.gemma4.ranges import mark_parts; import workbench.timeline.profile;"
        "import workbench.bench.gemma4.engine, workbench.sweep.evaluators.gpu;"
        "m = M.random(Gemma4Config.preset('tiny')); mark_parts(m); m.generate(torch.tensor([[1]]), 2);"
        "assert 'nvtx' not in sys.modules"
    )
    environment = {key: value for key, value in os.environ.items() if key != NVTX_VARIABLE}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=300)
