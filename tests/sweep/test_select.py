from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workbench.sweep.select import fastest, select
from workbench.trials.trial import Evidence, Resources, Stage, Status, Trial

DEFAULT = {"block": 1}


def trial(block, time_us, *, status=Status.OK, registers=32, ratio=None, ratio_ci=None):
    resources = Resources(
        registers=registers, spill_bytes=0, shared_bytes=0, num_warps=1, instructions={}, critical_cycles=1
    )
    return Trial(
        trial=f"t{block}",
        problem={"tokens": 1},
        config={"block": block},
        stage=Stage.MEASURE,
        status=status,
        time_us=time_us,
        evidence=Evidence.MODELLED,
        ratio=ratio,
        ratio_ci=ratio_ci,
        resources=(resources,),
    )


def measured(block, ratio, low, high):
    return trial(block, 10.0 * ratio, ratio=ratio, ratio_ci=(low, high))


def test_the_fastest_wins_where_it_is_ahead_by_more_than_the_margin():
    winner = select([trial(1, 10.0), trial(2, 9.0), trial(4, 8.0)], DEFAULT, margin=0.05)
    assert (winner.config, winner.time_us, winner.default_time_us) == ({"block": 4}, 8.0, 10.0)
    assert not winner.kept_default


def test_the_default_is_kept_where_nothing_is_ahead_by_the_margin():
    winner = select([trial(1, 10.0), trial(2, 9.51)], DEFAULT, margin=0.05)
    assert (winner.config, winner.time_us) == (DEFAULT, 10.0)
    assert winner.kept_default


def test_exactly_the_margin_is_not_ahead():
    assert select([trial(1, 1.0), trial(2, 0.75)], DEFAULT, margin=0.25).kept_default


def test_a_tie_with_the_default_keeps_the_default():
    assert select([trial(2, 10.0), trial(1, 10.0)], DEFAULT, margin=0.0).kept_default


def test_equal_times_are_won_by_fewer_registers_and_then_by_the_config():
    heavy, light, lighter = trial(2, 5.0, registers=64), trial(8, 5.0), trial(4, 5.0)
    winner = select([trial(1, 10.0), heavy, light, lighter], DEFAULT, margin=0.05)
    assert winner.config == {"block": 4}


def test_the_whole_interval_must_be_ahead_of_the_default():
    wide = [measured(1, 1.0, 1.0, 1.0), measured(2, 0.7, 0.5, 1.02)]
    assert select(wide, DEFAULT, margin=0.01).kept_default


def test_a_narrow_interval_wins_beside_a_wide_one_with_a_better_median():
    trials = [measured(1, 1.0, 1.0, 1.0), measured(2, 0.7, 0.5, 1.02), measured(4, 0.8, 0.79, 0.81)]
    assert select(trials, DEFAULT, margin=0.01).config == {"block": 4}


def test_an_invalid_default_leaves_the_fastest_and_no_default_time():
    trials = [trial(1, None, status=Status.PRUNED), trial(2, 9.0), trial(4, 9.5)]
    winner = select(trials, DEFAULT, margin=0.05)
    assert (winner.config, winner.default_time_us, winner.kept_default) == ({"block": 2}, None, False)


def test_a_default_that_was_never_tried_is_no_baseline():
    assert select([trial(2, 9.0)], DEFAULT, margin=0.05).default_time_us is None


def test_no_valid_config_gives_no_winner():
    assert select([trial(1, None, status=Status.CRASHED)], DEFAULT, margin=0.05) is None
    assert select([], DEFAULT, margin=0.05) is None


def test_failed_configs_never_win_whatever_time_stands_in_them():
    trials = [trial(1, 10.0), trial(2, 0.1, status=Status.WRONG_RESULT)]
    assert select(trials, DEFAULT, margin=0.05).kept_default


def test_the_fastest_holds_the_fastest_valid_configs_in_order():
    trials = [trial(1, 3.0), trial(2, 1.0), trial(4, None, status=Status.TIMEOUT), trial(8, 2.0)]
    assert [each.config["block"] for each in fastest(trials, 2)] == [2, 8]


@given(st.lists(st.floats(0.1, 100.0), min_size=1, max_size=8), st.randoms(), st.floats(0.0, 0.5))
def test_the_order_of_trials_never_matters_and_a_winner_is_ahead_or_the_default(times, rng, margin):
    trials = [trial(block, time) for block, time in enumerate(times, start=1)]
    winner = select(trials, DEFAULT, margin=margin)
    assert winner.kept_default or winner.time_us < times[0] * (1.0 - margin) * (1.0 + 1e-12)
    rng.shuffle(trials)
    assert select(trials, DEFAULT, margin=margin) == winner
