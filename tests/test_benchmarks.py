from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def measurement():
    spec = importlib.util.spec_from_file_location("measurement", BENCHMARKS / "measurement.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["measurement"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["measurement"]


class NoisyTimers:
    """Timers whose samples vary by `noise`, and each of which is off by its own share of `bias`."""

    device = None

    def __init__(self, seed, noise, bias):
        self.draw, self.noise, self.bias = np.random.default_rng(seed), noise, bias

    def inputs(self, *_):
        return None

    def of_kernel(self, *_):
        return NoisyTimer(self, 10.0 * self.draw.lognormal(0.0, self.bias))


class NoisyTimer:
    def __init__(self, timers, time_us):
        self.timers, self.time_us = timers, time_us

    def sample(self):
        return self.time_us * self.timers.draw.lognormal(0.0, self.timers.noise)


def share_of_failures(measurement, monkeypatch, noise, bias, runs=40):
    monkeypatch.setattr(measurement, "open_clocks", lambda device: None)
    fast = measurement.SETTINGS.__class__(
        **{name: getattr(measurement.SETTINGS, name) for name in measurement.SETTINGS.__slots__}
        | {"warmup_seconds": 0.0, "rewarm_samples": 0, "resamples": 200}
    )
    monkeypatch.setattr(measurement, "SETTINGS", fast)
    case = measurement.CASES[0]
    found = [
        measurement.compare_with_itself(NoisyTimers(seed, noise, bias), *case, repeats=5)
        for seed in range(runs)
    ]
    return sum(each.fails for each in found) / runs


def test_the_check_of_measuring_passes_at_ordinary_noise(measurement, monkeypatch):
    assert share_of_failures(measurement, monkeypatch, noise=0.004, bias=0.001) <= 0.05


def test_the_check_of_measuring_fails_where_timers_of_one_config_differ(measurement, monkeypatch):
    assert share_of_failures(measurement, monkeypatch, noise=0.004, bias=0.02) >= 0.9
