from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from workbench.measure.clocks import ClockReading
from workbench.measure.race import (
    DEFAULT,
    DEFAULT_AGAIN,
    MeasureSettings,
    Stopped,
    TimedConfig,
    measure_batch,
)

SETTINGS = MeasureSettings(warmup_seconds=0.02, resamples=300)


class SimulatedGpu:
    """A GPU whose time passes only while it is sampled, with noise, a slow drift and bursts of slowness."""

    def __init__(self, *, seed=0, noise=0.01, drift=0.0, burst_share=0.0, sample_seconds=0.001):
        self.seconds = 0.0
        self.rng = np.random.default_rng(seed)
        self.noise, self.drift, self.burst_share = noise, drift, burst_share
        self.sample_seconds = sample_seconds

    def timer(self, true_us):
        return SimulatedTimer(self, true_us)

    def batch(self, true_times, settings=SETTINGS, default_us=10.0, **more):
        candidates = [TimedConfig(name, self.timer(true_us)) for name, true_us in true_times.items()]
        return measure_batch(
            candidates,
            default=self.timer(default_us),
            default_again=self.timer(default_us),
            settings=settings,
            now=lambda: self.seconds,
            **more,
        )


class SimulatedTimer:
    def __init__(self, gpu, true_us):
        self.gpu, self.true_us, self.sampled = gpu, true_us, 0

    def sample(self):
        gpu = self.gpu
        self.sampled += 1
        gpu.seconds += gpu.sample_seconds
        slowness = 1.0 + gpu.drift * (1.0 + math.sin(gpu.seconds * 3.0))
        burst = 3.0 if gpu.rng.random() < gpu.burst_share else 1.0
        return self.true_us * slowness * burst * gpu.rng.lognormal(0.0, gpu.noise)


class ScriptedClocks:
    """Readings in order; the last one is repeated."""

    driver = "simulated"

    def __init__(self, *readings):
        self.readings = list(readings)

    def read(self):
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]


GOOD = ClockReading(sm_mhz=1900, power_w=400.0)
HOT = ClockReading(sm_mhz=1900, reasons=("sw_thermal_slowdown",))


def by_name(result):
    return {measurement.name: measurement for measurement in result.measurements}


@pytest.mark.parametrize("seed", range(5))
def test_the_best_is_found_through_drift_and_bursts(seed):
    gpu = SimulatedGpu(seed=seed, noise=0.01, drift=0.15, burst_share=0.05)
    result = gpu.batch({"slow": 12.0, "equal": 10.0, "good": 9.4, "best": 9.0})
    assert min(result.measurements, key=lambda found: found.ratio.median).name == "best"
    assert by_name(result)["best"].ratio.median == pytest.approx(0.9, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_only_what_is_really_faster_beats_the_default(seed):
    result = SimulatedGpu(seed=seed, drift=0.1, burst_share=0.05).batch(
        {"slow": 12.0, "equal": 10.0, "best": 9.0}
    )
    assert [found.name for found in result.measurements if result.beats_default(found)] == ["best"]


def test_equal_configs_win_in_no_more_than_the_odd_run():
    wins = 0
    for seed in range(25):
        result = SimulatedGpu(seed=seed, noise=0.03).batch({f"equal {number}": 10.0 for number in range(4)})
        wins += sum(result.beats_default(found) for found in result.measurements)
    assert wins <= 2


def test_the_noise_floor_grows_with_the_noise_and_is_the_ratio_of_the_default_to_itself():
    quiet, loud = SimulatedGpu(noise=0.001).batch({}), SimulatedGpu(noise=0.1).batch({})
    assert quiet.noise.floor < 0.005
    assert quiet.noise.floor < loud.noise.floor
    assert loud.noise.ratio == loud.default_again.ratio
    assert loud.noise.ratio.low <= 1.0 <= loud.noise.ratio.high


def test_a_bias_between_two_equal_entries_raises_the_noise_floor():
    gpu = SimulatedGpu(noise=0.001)
    result = measure_batch(
        [], default=gpu.timer(10.0), default_again=gpu.timer(10.5), settings=SETTINGS, now=lambda: gpu.seconds
    )
    assert result.noise.floor == pytest.approx(0.05, abs=0.005)


def test_a_clearly_slower_config_leaves_the_race_early_and_the_close_ones_go_on():
    result = by_name(SimulatedGpu(noise=0.05).batch({"hopeless": 20.0, "close": 9.9, "best": 9.5}))
    assert result["hopeless"].stopped is Stopped.SLOWER
    assert result["hopeless"].rounds == SETTINGS.min_rounds
    assert result["best"].rounds > SETTINGS.min_rounds


def test_without_a_margin_nobody_leaves_for_being_slower():
    settings = dataclasses.replace(SETTINGS, slower_margin=None)
    result = by_name(SimulatedGpu(noise=0.02).batch({"hopeless": 20.0, "best": 9.5}, settings))
    assert {found.stopped for found in result.values()} == {Stopped.SETTLED}


def test_a_settled_config_has_the_interval_that_was_asked_for():
    for found in SimulatedGpu(noise=0.02).batch({"a": 9.0, "b": 9.1}).measurements:
        assert found.stopped is Stopped.SETTLED
        assert found.ratio.relative_half_width < SETTINGS.relative_ci
        assert found.time_us.low <= found.time_us.median <= found.time_us.high


def test_the_cap_on_rounds_holds_where_nothing_settles():
    settings = dataclasses.replace(SETTINGS, relative_ci=1e-6, max_rounds=30)
    result = SimulatedGpu(noise=0.05).batch({"equal": 10.0}, settings)
    assert result.rounds == 30
    assert result.measurements[0].stopped is Stopped.MAX_ROUNDS


def test_the_cap_on_seconds_holds_where_nothing_settles():
    settings = dataclasses.replace(SETTINGS, relative_ci=1e-6, max_rounds=10**6, max_seconds=0.5)
    result = SimulatedGpu(noise=0.05).batch({"equal": 10.0}, settings)
    assert result.measurements[0].stopped is Stopped.MAX_SECONDS
    assert result.seconds == pytest.approx(0.5, abs=0.01)


def test_one_round_is_taken_even_where_it_takes_longer_than_the_cap_and_nobody_wins_on_it():
    settings = dataclasses.replace(SETTINGS, max_seconds=1.0)
    result = SimulatedGpu(sample_seconds=5.0).batch({"best": 1.0}, settings)
    assert result.rounds == 1
    assert result.measurements[0].ratio.median == pytest.approx(0.1, rel=0.1)
    assert not result.beats_default(result.measurements[0])


def test_the_same_seed_gives_the_same_result_and_another_seed_another_order():
    def run(seed):
        return SimulatedGpu(seed=1).batch({"a": 9.0, "b": 11.0}, dataclasses.replace(SETTINGS, seed=seed))

    def order(result):
        return [sample.name for sample in result.samples]

    assert run(0) == run(0)
    assert order(run(0)) != order(run(1))


def test_every_round_holds_both_defaults_and_each_config_once_in_a_shuffled_order():
    result = SimulatedGpu(noise=0.05).batch({"a": 9.9, "b": 10.0})
    orders = set()
    for number in range(SETTINGS.min_rounds):
        taken = [sample for sample in result.samples if sample.round == number]
        assert [sample.position for sample in taken] == [0, 1, 2, 3]
        assert {sample.name for sample in taken} == {DEFAULT, DEFAULT_AGAIN, "a", "b"}
        orders.add(tuple(sample.name for sample in taken))
    assert len(orders) > 3


def test_a_throttled_round_is_flagged_taken_once_more_and_left_out():
    clocks = ScriptedClocks(GOOD, HOT, GOOD)
    result = SimulatedGpu().batch({"a": 9.0}, clocks=clocks)
    flagged = [sample for sample in result.samples if sample.flags]
    assert {(sample.round, sample.flags, sample.used) for sample in flagged} == {
        (1, ("sw_thermal_slowdown",), False)
    }
    assert result.measurements[0].flags == ()
    assert result.measurements[0].rounds == result.rounds - 1
    assert result.clocks.throttled_rounds == 1


def test_a_clock_far_below_its_running_median_counts_as_throttled():
    clocks = ScriptedClocks(GOOD, GOOD, ClockReading(sm_mhz=1400), GOOD)
    result = SimulatedGpu().batch({"a": 9.0}, clocks=clocks)
    assert {sample.round for sample in result.samples if sample.flags == ("low_sm_clock",)} == {2}
    assert result.clocks.sm_mhz == (1400, 1900, 1900)


def test_a_gpu_that_always_throttles_is_measured_with_a_flag_and_never_empty():
    settings = dataclasses.replace(SETTINGS, max_retakes=5)
    result = SimulatedGpu().batch({"a": 9.0}, settings, clocks=ScriptedClocks(HOT))
    found = result.measurements[0]
    assert found.rounds >= settings.min_rounds
    assert found.flags == ("sw_thermal_slowdown",)
    assert sum(not sample.used for sample in result.samples if sample.name == "a") == 5


def test_a_batch_cut_off_while_all_was_throttled_still_has_its_rounds():
    settings = dataclasses.replace(SETTINGS, max_retakes=100, max_rounds=12)
    result = SimulatedGpu().batch({"a": 9.0}, settings, clocks=ScriptedClocks(HOT))
    assert result.measurements[0].rounds == 12
    assert all(sample.used for sample in result.samples)


def test_the_clocks_are_summed_up():
    summary = SimulatedGpu().batch({"a": 9.0}, clocks=ScriptedClocks(GOOD)).clocks
    assert (summary.driver, summary.sm_mhz, summary.power_w) == ("simulated", (1900, 1900.0, 1900), 400.0)


def test_the_default_is_warmed_up_before_the_first_round():
    gpu = SimulatedGpu()
    default = gpu.timer(10.0)
    settings = dataclasses.replace(SETTINGS, rewarm_samples=0)
    result = measure_batch(
        [], default=default, default_again=gpu.timer(10.0), settings=settings, now=lambda: gpu.seconds
    )
    assert default.sampled - result.rounds == pytest.approx(20, abs=1)


def test_the_default_time_is_that_of_the_same_rounds():
    found = SimulatedGpu(noise=0.001).batch({"a": 5.0}).measurements[0]
    assert found.default_time_us == pytest.approx(10.0, rel=0.01)
    assert found.time_us.median / found.default_time_us == pytest.approx(found.ratio.median, rel=0.01)


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf"), -1.0])
def test_a_timer_that_returns_no_time_is_named(bad):
    gpu = SimulatedGpu()
    broken = gpu.timer(10.0)
    broken.sample = lambda: bad
    with pytest.raises(ValueError, match="broken one"):
        measure_batch(
            [TimedConfig("broken one", broken)],
            default=gpu.timer(10.0),
            default_again=gpu.timer(10.0),
            settings=SETTINGS,
            now=lambda: gpu.seconds,
        )


@pytest.mark.parametrize("names", [("a", "a"), (DEFAULT,), (DEFAULT_AGAIN,)])
def test_names_must_be_distinct(names):
    timer = SimulatedGpu().timer(1.0)
    candidates = [TimedConfig(name, timer) for name in names]
    with pytest.raises(ValueError, match="distinct"):
        measure_batch(candidates, default=timer, default_again=timer, settings=SETTINGS)


@pytest.mark.parametrize(
    "settings", [{"min_rounds": 1}, {"max_rounds": 5}, {"relative_ci": 0.0}, {"max_seconds": 0.0}]
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ValueError, match=r"needs 2 <= min_rounds|must be positive"):
        MeasureSettings(**settings)
