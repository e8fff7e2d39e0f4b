from __future__ import annotations

import json
import math

import numpy as np
import pytest

from tests.plots.recorded import DEFAULT, failed, grid, trial, write_run
from workbench.base.errors import InputError
from workbench.figures.sweep.convergence import MOST_PANELS, collect_convergence
from workbench.figures.sweep.importance import collect_importance
from workbench.figures.sweep.landscape import collect_landscape
from workbench.figures.sweep.statuses import collect_statuses
from workbench.plots.save import draw
from workbench.plots.style import DARK, LIGHT
from workbench.plots.sweep import sweep_plots
from workbench.trials.recorded_run import find_run, read_run, select_problems
from workbench.trials.trial import Evidence, Status


@pytest.fixture
def recorded(tmp_path):
    def recorded(trials, **about):
        return read_run(write_run(tmp_path / "runs" / "mine-0123", trials, **about))

    recorded.folder = tmp_path
    return recorded


def texts(plot, theme=LIGHT):
    figure = draw(plot, theme)
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")]
        found += [text.get_text() for text in [*axes.texts, *axes.get_yticklabels()]]
    return "\n".join(found)


def named(plots, name):
    return next(plot for plot in plots if plot.name == name)


def test_convergence_follows_the_best_time_past_failures(recorded):
    run = recorded(
        [trial({"warps": 1}, 8.0), failed({"block": 1}), trial(None, 6.0), trial({"warps": 2}, 7.0)]
    )
    (curve,) = collect_convergence(run, run.problems).curves
    assert (curve.found_at, curve.best_us, curve.failed_at) == ((1, 3), (8.0, 6.0), (2,))
    assert (curve.trials, curve.default_us, curve.speedup) == (4, 6.0, 1.0)


def test_the_title_is_the_geometric_mean_over_the_default(recorded):
    trials = [
        trial(None, 4.0),
        trial({"warps": 1}, 2.0),
        trial(None, 8.0, tokens=2),
        trial({"warps": 1}, 8.0, tokens=2),
    ]
    run = recorded(trials)
    info = collect_convergence(run, run.problems)
    assert (
        info.heading.title == f"{math.sqrt(2):.2f}x over the default (geometric mean of 2 problems, 4 trials)"
    )


def test_what_was_not_measured_is_marked(recorded):
    run = recorded([trial(None, 4.0, evidence=Evidence.MODELLED)])
    info = collect_convergence(run, run.problems)
    assert info.heading.title == "Best modelled time so far, 1 trials"
    assert "x" not in {
        line[-1:] for line in texts(named(sweep_plots(run, run.problems), "convergence")).splitlines()
    }
    assert "nothing was timed" in info.heading.subtitle


def test_what_was_read_from_a_recording_is_marked(recorded):
    run = recorded([trial(None, 4.0, evidence=Evidence.REPLAYED)])
    assert collect_convergence(run, run.problems).heading.title.startswith("~")
    assert "~1.00x" in texts(named(sweep_plots(run, run.problems), "convergence")).splitlines()


def test_a_default_that_is_not_recorded_is_known_by_its_ratio_of_one(recorded):
    trials = [
        trial({"warps": 1}, 3.0, ratio=0.5, ratio_ci=(0.4, 0.6)),
        trial(None, 6.0, ratio=1.0, ratio_ci=(1.0, 1.0)),
    ]
    (problem,) = recorded(trials, default=None).problems
    assert problem.default_time_us == 6.0


def test_a_default_that_is_not_known_is_said_to_be(recorded):
    run = recorded([trial(None, 3.0)], default=None)
    info = collect_convergence(run, run.problems)
    assert info.curves[0].default_us is None
    assert any("not in this journal" in note for note in info.heading.notes)


def test_a_problem_without_a_valid_config_is_drawn_as_such(recorded):
    run = recorded([failed(), failed({"warps": 1})])
    plots = sweep_plots(run, run.problems)
    assert "no valid config" in texts(named(plots, "convergence"))
    assert "0 of 2 trials are valid" in texts(named(plots, "statuses"))


def test_of_very_many_problems_the_first_are_drawn(recorded):
    run = recorded([trial(None, 3.0, tokens=tokens) for tokens in range(1, MOST_PANELS + 6)])
    info = collect_convergence(run, run.problems)
    assert (len(info.curves), info.left_out) == (MOST_PANELS, 5)
    assert any(note.startswith("5 more problems") for note in info.heading.notes)


def test_a_parameter_that_explains_all_has_the_whole_variance(recorded):
    run = recorded(grid(lambda config: 10.0 * config["warps"]))
    found = {each.parameter: each for each in collect_importance(run, run.problems).importances}
    assert found["warps"].main == pytest.approx(1.0)
    assert found["warps"].total == pytest.approx(1.0)
    assert (found["block"].main, found["mode"].main) == pytest.approx((0, 0), abs=1e-12)
    assert found["block"].total == pytest.approx(0.0, abs=1e-12)


def test_shares_are_sobols_of_a_sum_of_logs(recorded):
    run = recorded(grid(lambda config: config["warps"] * config["block"] ** 0.5))
    found = {each.parameter: each for each in collect_importance(run, run.problems).importances}
    warps, block = np.log([1, 2, 4]).var(), np.log([32, 64, 128, 256]).var() / 4
    assert found["warps"].total == pytest.approx(warps / (warps + block))
    assert found["block"].total == pytest.approx(block / (warps + block))
    assert found["block"].main == pytest.approx(block / (warps + block))


def test_an_interaction_shows_in_the_total_only(recorded):
    def time(config):
        return 2.0 if (config["mode"] == "a") == (config["block"] < 100) else 1.0

    run = recorded(grid(time))
    found = {each.parameter: each for each in collect_importance(run, run.problems).importances}
    assert found["mode"].main == pytest.approx(0.0, abs=1e-12)
    assert found["mode"].total == pytest.approx(1.0)


def test_noise_in_a_sample_explains_nothing_alone(recorded):
    rng = np.random.default_rng(0)
    configs = rng.integers(0, 8, size=(300, 3)).tolist()
    trials = [trial(dict(zip(DEFAULT, config, strict=True)), float(rng.lognormal())) for config in configs]
    run = recorded(list({each.trial: each for each in trials}.values()))
    assert max(each.main for each in collect_importance(run, run.problems).importances) < 0.05


def test_a_sample_tells_what_the_whole_space_does(recorded):
    rng = np.random.default_rng(0)
    values = [
        {"warps": w, "block": b, "mode": m} for w in range(1, 9) for b in range(1, 9) for m in range(1, 9)
    ]

    def time(config):
        return float(np.exp(config["warps"] + 0.5 * config["block"] + 0.1 * config["warps"] * config["mode"]))

    def shares(configs, name):
        run = read_run(write_run(recorded.folder / name, [trial(config, time(config)) for config in configs]))
        return {each.parameter: each for each in collect_importance(run, run.problems).importances}

    whole, sample = shares(values, "whole"), shares(rng.permutation(values)[:200].tolist(), "sample")
    for name, share in whole.items():
        assert sample[name].main == pytest.approx(share.main, abs=0.06)
        assert sample[name].total == pytest.approx(share.total, abs=0.06)


def test_too_few_trials_tell_nothing_of_importance(recorded):
    run = recorded([trial(None, 3.0), trial({"warps": 1}, 4.0)])
    info = collect_importance(run, run.problems)
    assert info.importances == ()
    assert "Too few" in texts(named(sweep_plots(run, run.problems), "importance"))


def test_equal_times_have_no_variance_to_explain(recorded):
    run = recorded(grid(lambda config: 5.0))
    assert collect_importance(run, run.problems).importances == ()


def test_a_cell_of_the_landscape_is_the_best_over_the_others(recorded):
    run = recorded(
        grid(lambda config: config["warps"] * config["block"] + (5.0 if config["mode"] == "b" else 0.0))
    )
    info = collect_landscape(run, run.problems, "block", "warps")
    assert (info.x_values, info.y_values) == ((32, 64, 128, 256), (1, 2, 4))
    cell = info.cells[64, 2]
    assert (cell.tried, cell.valid, cell.best_us, cell.relative) == (2, 2, 128.0, 4.0)
    assert (info.best, info.default) == ((32, 1), (64, 4))


def test_the_landscape_is_over_the_most_important_parameters_unless_named(recorded):
    run = recorded(grid(lambda config: config["warps"] ** 3 * config["block"] ** 0.5))
    assert (collect_landscape(run, run.problems).x, collect_landscape(run, run.problems).y) == (
        "warps",
        "block",
    )
    assert collect_landscape(run, run.problems, "mode").y == "warps"
    assert collect_landscape(run, run.problems, y="warps").x == "block"


def test_cells_that_failed_and_cells_that_were_not_tried_differ(recorded):
    run = recorded([trial(None, 3.0), failed({"warps": 1}), trial({"warps": 1, "block": 32}, 4.0)])
    info = collect_landscape(run, run.problems, "warps", "block")
    assert info.cells[1, 64].relative is None
    assert (4, 32) not in info.cells


def test_one_parameter_alone_has_no_landscape(recorded):
    run = recorded([trial(None, 3.0), trial({"warps": 1}, 4.0)])
    assert collect_landscape(run, run.problems) is None
    assert [plot.name for plot in sweep_plots(run, run.problems)] == ["convergence", "importance", "statuses"]


@pytest.mark.parametrize(
    "x, y, key, said",
    [
        ("wraps", None, "--x", "did you mean 'warps'"),
        (None, "tile", "--y", "there are: warps"),
        ("warps", "warps", "--y", "two"),
    ],
)
def test_an_unknown_parameter_is_refused(recorded, x, y, key, said):
    run = recorded(grid(lambda config: config["warps"]))
    with pytest.raises(InputError, match=said) as error:
        collect_landscape(run, run.problems, x, y)
    assert error.value.key == key


def test_statuses_count_reasons_that_differ_in_numbers_as_one(recorded):
    trials = [trial(None, 3.0), trial({"warps": 1}, 3.0)]
    trials += [failed({"block": size}, reason=f"needs {size:,} bytes of 101,376") for size in (1, 2000, 3)]
    trials += [failed({"block": 5}, status=Status.TIMEOUT, reason="longer than 60 s")]
    run = recorded(trials)
    counts = [(each.status, each.count) for each in collect_statuses(run, run.problems).counts]
    assert counts == [(Status.OK, 2), (Status.PRUNED, 3), (Status.TIMEOUT, 1)]


def test_of_very_many_reasons_the_rest_is_counted_together(recorded):
    run = recorded([failed({"block": index}, reason="x" * (index + 1)) for index in range(20)])
    info = collect_statuses(run, run.problems)
    assert sum(each.count for each in info.counts) + info.other == 20
    assert info.other == 7


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize(
    "name, labels",
    [
        ("convergence", ["µs, lower is better", "trials (count)", "Dashed: the default"]),
        ("importance", ["share of the variance of ln(time)", "n = 24 valid trials", "block (4 values)"]),
        ("landscape", ["time over the best\n(ratio, lower is better)", "block", "1.00"]),
        ("statuses", ["trials (count)", "24 of 25 trials are valid"]),
    ],
)
def test_every_plot_names_unit_direction_and_n(recorded, theme, name, labels):
    trials = [*grid(lambda config: config["warps"] * config["block"] / 7), failed({"warps": 8})]
    run = recorded(trials)
    shown = texts(named(sweep_plots(run, run.problems), name), theme)
    assert [label for label in labels if label not in shown] == []


def test_a_run_is_found_by_path_id_and_beginning(tmp_path):
    folder = write_run(tmp_path / "runs" / "mine-0123", [trial(None, 3.0)])
    write_run(tmp_path / "runs" / "mine-0123.before-2026", [trial(None, 3.0)])
    for name in (str(folder), str(folder / "trials.jsonl"), "mine-0123", "mine"):
        assert find_run(name, tmp_path) == folder


def test_a_run_that_is_not_there_or_not_clear_is_refused(tmp_path):
    for name in ("mine-01", "mine-02"):
        write_run(tmp_path / "runs" / name, [trial(None, 3.0)])
    with pytest.raises(InputError, match=r"several runs begin so; .*mine-01, mine-02"):
        find_run("mine", tmp_path)
    with pytest.raises(InputError, match="no such run"):
        find_run("other", tmp_path)


def test_problems_are_picked_by_their_axes(recorded):
    run = recorded([trial(None, 3.0, tokens=tokens) for tokens in (1, 8, 64)])
    assert [each.label for each in select_problems(run, "tokens=8")] == ["tokens=8"]
    assert len(select_problems(run, "dtype=bf16")) == 3
    for text in ("tokens=7", "x", "", "token=8"):
        with pytest.raises(InputError, match="there are: tokens=1, tokens=8, tokens=64"):
            select_problems(run, text)


@pytest.mark.parametrize("content", ["", "{", "[]", "7"])
def test_a_damaged_run_is_refused(tmp_path, content):
    folder = write_run(tmp_path / "mine", [trial(None, 3.0)])
    (folder / "sweep.json").write_text(content)
    with pytest.raises(InputError, match="damaged"):
        read_run(folder)


def test_a_damaged_trial_and_an_empty_journal_are_refused(tmp_path):
    folder = write_run(tmp_path / "mine", [trial(None, 3.0)])
    (folder / "trials.jsonl").write_text(json.dumps(DEFAULT) + "\n")
    with pytest.raises(InputError, match=r"trials.jsonl:1: "):
        read_run(folder)
    (folder / "trials.jsonl").write_text("")
    with pytest.raises(InputError, match="holds no trial yet"):
        read_run(folder)
