from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.replay import Noise, NoisyGpu

QUIET = Noise(drift=0.0, placement=0.0, jitter=0.0, burst_rate=0.0, throttle_rate=0.0)


def samples(noise, count=50, window=("problem", 0, "batch")):
    gpu = NoisyGpu(noise, window)
    timer = gpu.timer(10.0)
    taken = []
    for _ in range(count):
        taken.append(timer.sample())
        gpu.read()
    return np.array(taken)


def test_without_any_noise_the_recorded_time_comes_back():
    assert samples(QUIET) == pytest.approx(10.0)


def test_the_same_seed_and_window_draw_the_same_noise():
    assert (samples(Noise(seed=3)) == samples(Noise(seed=3))).all()
    assert (samples(Noise(seed=3)) != samples(Noise(seed=4))).any()
    assert (samples(Noise(seed=3)) != samples(Noise(seed=3), window=("problem", 1, "batch"))).any()


def test_windows_drift_apart_by_one_to_three_percent():
    levels = [np.median(samples(Noise(throttle_rate=0.0), window=("p", place, "b"))) for place in range(60)]
    assert 0.01 < np.std(levels) / 10.0 < 0.03


def test_drift_is_common_to_the_configs_of_a_round():
    gpu = NoisyGpu(replace(QUIET, drift=0.03), ["p"])
    first, second = gpu.timer(10.0), gpu.timer(20.0)
    for _ in range(20):
        assert second.sample() / first.sample() == pytest.approx(2.0)
        gpu.read()


def test_bursts_only_ever_slow_down():
    taken = samples(replace(QUIET, burst_rate=0.1, burst=0.5), count=500)
    assert taken.min() == pytest.approx(10.0)
    assert 0.05 < np.mean(taken > 10.01) < 0.15


def test_a_throttle_step_slows_all_samples_for_a_while_and_shows_in_the_clock():
    gpu = NoisyGpu(replace(QUIET, throttle=0.2, throttle_rate=1.0), ["p"])
    timer = gpu.timer(10.0)
    rounds = [(timer.sample(), gpu.read().sm_mhz) for _ in range(60)]
    slow = [clock for time_us, clock in rounds if time_us == pytest.approx(12.0)]
    fast = [clock for time_us, clock in rounds if time_us == pytest.approx(10.0)]
    assert len(slow) + len(fast) == 60
    assert 0 < len(slow) < 20
    assert max(slow) == round(min(fast) / 1.2)


def test_its_own_clock_runs_with_the_samples():
    gpu = NoisyGpu(QUIET, ["p"])
    timer = gpu.timer(10.0)
    before = gpu.now()
    timer.sample()
    assert gpu.now() > before
