from __future__ import annotations

from dataclasses import replace

import pytest

from workbench.base.errors import IncomparableError, InputError
from workbench.bench.figures import of_repeats, reciprocal, single
from workbench.bench.rows import BenchRow
from workbench.figures.bench.arms import compare_arms
from workbench.figures.bench.curves import collect_curves
from workbench.figures.bench.pareto import collect_pareto, frontier
from workbench.figures.bench.speedup import collect_speedup
from workbench.plots.bench import bench_plots
from workbench.plots.save import draw
from workbench.plots.style import DARK, LIGHT, arm_colours


def row(arm, concurrency, tpot_ms, **others):
    """Repeats of a run on one arm; throughput follows from TPOT."""
    samples = tpot_ms if isinstance(tpot_ms, tuple) else (tpot_ms * 0.999, tpot_ms, tpot_ms * 1.001)
    tpot, per_user = of_repeats(samples), reciprocal(of_repeats(samples), 1e3)
    throughput = of_repeats([concurrency * 1e3 / each for each in samples])
    metrics = {
        "tpot_p50_ms": tpot,
        "tpot_p99_ms": of_repeats([1.2 * each for each in samples]),
        "output_tokens_per_s": throughput,
        "tokens_per_s_per_user": per_user,
        "tokens_per_s_per_gpu": throughput,
    }
    about = {
        "source": "workbench",
        "device": "NVIDIA_B200",
        "model": "gemma",
        "workload": "chat",
        "draft_tokens": 0,
    }
    return BenchRow(arm=arm, concurrency=concurrency, metrics=metrics, **{**about, **others})


def oom(arm, concurrency, **others):
    about = {"source": "workbench", "device": "NVIDIA_B200", "model": "gemma", "workload": "chat"}
    return BenchRow(
        arm=arm, concurrency=concurrency, status="oom", reason="out of memory", **{**about, **others}
    )


ROWS = [
    row("fused", 1, 9.0),
    row("split", 1, 10.0),
    row("fused", 4, 11.5),
    row("split", 4, 12.0),
    row("fused", 16, 21.0),
    row("split", 16, 20.0),
]


def compared(rows, baseline=None):
    (comparison,) = compare_arms(rows, baseline)
    return comparison


def texts(plot, theme=LIGHT):
    figure = draw(plot, theme)
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        legend = axes.get_legend()
        found += [axes.get_xlabel(), axes.get_ylabel(), *(text.get_text() for text in axes.texts)]
        found += [text.get_text() for text in legend.get_texts()] if legend else []
    return "\n".join(found)


def plots(rows, baseline=None):
    return {plot.name: plot for plot in bench_plots(rows, baseline)}


def test_the_baseline_is_split_else_the_first_else_what_is_named():
    assert compared(ROWS).baseline == "split"
    assert compared([each for each in ROWS if each.arm == "fused"]).baseline == "fused"
    assert compared(ROWS, "fused").baseline == "fused"
    assert [arm.name for arm in compared(ROWS).arms] == ["split", "fused"]


def test_an_unknown_baseline_is_refused():
    with pytest.raises(InputError, match=r"did you mean 'fused'\?\); there are: fused, split"):
        bench_plots(ROWS, "fussed")


def test_rows_that_do_not_compare_are_refused():
    with pytest.raises(IncomparableError, match="device: NVIDIA_B200 against NVIDIA_H200"):
        bench_plots([*ROWS, row("tuned", 1, 9.0, device="NVIDIA_H200")])


def test_an_arm_of_two_engines_is_refused():
    with pytest.raises(IncomparableError, match="'fused' has rows of workbench and of vllm"):
        bench_plots([*ROWS, row("fused", 1, 9.0, source="vllm")])


def test_loads_are_plotted_apart():
    names = {plot.name for plot in bench_plots([*ROWS, row("split", 1, 30.0, workload="summarization")])}
    assert {"chat-tpot", "summarization-tpot", "chat-speedup"} <= names
    assert "summarization-speedup" not in names


def test_curves_hold_every_arm_at_rising_concurrency():
    info = collect_curves(compared(ROWS), "tpot")
    assert [(line.arm, line.x) for line in info.lines] == [("split", (1, 4, 16)), ("fused", (1, 4, 16))]
    assert [figure.value for figure in info.lines[1].y] == [9.0, 11.5, 21.0]
    assert info.label == "TPOT p50 and p99 (ms, lower is better)"


def test_the_title_counts_only_leads_that_are_told_apart():
    assert (
        collect_curves(compared(ROWS), "tpot").heading.title
        == "fused has the lowest TPOT p50 at 2 of 3 concurrencies"
    )
    noisy = [row("split", 1, (9.0, 10.0, 11.0)), row("fused", 1, (8.9, 9.9, 11.0))]
    assert collect_curves(compared(noisy), "tpot").heading.title.startswith("No arm is told apart")


def test_single_runs_are_said_to_be_single():
    rows = [row("split", 1, (10.0,)), row("fused", 1, (9.0,))]
    assert collect_curves(compared(rows), "tpot").heading.title.endswith(
        "1 of 1 concurrencies, some of single runs"
    )


def test_repeats_in_rows_of_their_own_become_one_point():
    rows = [row("split", 8, (tpot,), source="vllm") for tpot in (10.0, 12.0, 11.0)]
    (point,) = compared(rows).arms[0].points
    assert (point.runs, point.figures["tpot_p50_ms"].value) == (3, 11.0)
    assert point.figures["tpot_p50_ms"].spread == "bootstrap"


def test_several_draft_lengths_are_several_arms():
    rows = [row("tuned", 1, 9.0, draft_tokens=drafted) for drafted in (0, 4)]
    comparison = compared(rows)
    assert [arm.name for arm in comparison.arms] == ["tuned, 0 drafted", "tuned, 4 drafted"]
    assert [arm.points[0].draft_tokens for arm in comparison.arms] == [0, 4]


def test_a_run_without_a_limit_stands_at_its_mean_in_flight():
    plain = row("split", 1, 10.0)
    metrics = {**plain.metrics, "requests_per_s": single(2.0), "e2el_mean_ms": single(3500.0)}
    comparison = compared([replace(plain, concurrency=None, metrics=metrics)])
    assert comparison.arms[0].points[0].concurrency == 7.0
    assert any("without a limit" in note for note in comparison.notes("tpot_p50_ms"))


def test_failed_runs_are_marked_at_their_concurrency_and_told_in_the_caption():
    shown = plots([*ROWS, oom("fused", 64), oom("split", None)])["chat-tpot"]
    text = texts(shown)
    assert "oom" in text
    assert "fused: oom at 64: out of memory" in text
    assert "split: oom at unlimited concurrency" in text
    figure = draw(shown, LIGHT)
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert [list(line.get_xdata()) for line in crosses] == [[64]]


def test_an_arm_that_only_failed_stays_in_the_legend():
    assert "tuned (no valid run)" in texts(plots([*ROWS, oom("tuned", 1)])["chat-throughput"])


def test_nothing_but_failures_is_refused():
    with pytest.raises(InputError, match="none of the 1 runs has a figure"):
        bench_plots([oom("split", 1)])


def test_failed_requests_are_told():
    assert "fused: 3 requests failed" in texts(plots([*ROWS, row("fused", 64, 30.0, failed=3)])["chat-tpot"])


def test_the_frontier_holds_what_nothing_beats():
    points = [(1.0, 9.0), (2.0, 8.0), (2.0, 7.0), (1.5, 5.0), (3.0, 1.0), (3.0, 1.0)]
    assert frontier(points) == {0, 1, 4, 5}


def test_pareto_points_carry_both_axes():
    info = collect_pareto(compared(ROWS))
    point = info.points[0]
    assert (point.arm, point.concurrency) == ("split", 1)
    assert (point.user.value, point.gpu.value) == (pytest.approx(100.0), pytest.approx(100.0))
    assert not point.optimal
    assert [(each.arm, each.concurrency) for each in info.points if each.optimal] == [
        ("split", 16),
        ("fused", 1),
        ("fused", 4),
    ]


def test_speedups_are_ratios_with_their_geometric_mean_and_crossover():
    tpot, throughput = collect_speedup(compared(ROWS)).panels
    (fused,) = tpot.speedups
    assert [ratio.value for ratio in fused.ratios] == pytest.approx([10 / 9, 12 / 11.5, 20 / 21])
    assert fused.geometric_mean == pytest.approx((10 / 9 * 12 / 11.5 * 20 / 21) ** (1 / 3))
    assert [ratio.verdict for ratio in fused.ratios] == ["faster", "faster", "slower"]
    (crossover,) = fused.crossovers
    assert 4 < crossover < 16
    assert [ratio.value for ratio in throughput.speedups[0].ratios] == pytest.approx(
        [10 / 9, 12 / 11.5, 20 / 21]
    )


def test_interleaved_repeats_are_divided_pair_by_pair():
    drift = (1.0, 1.5, 2.0)
    rows = [row("split", 1, tuple(10 * d for d in drift)), row("fused", 1, tuple(9 * d for d in drift))]
    (ratio,) = collect_speedup(compared(rows)).panels[0].speedups[0].ratios
    assert ratio.interval == pytest.approx((10 / 9, 10 / 9))
    assert ratio.verdict == "faster"


@pytest.mark.parametrize("split, fused", [((10.0,), (9.0,)), ((9.0, 10.0, 11.0), (10.9, 9.9, 9.1))])
def test_single_runs_and_noise_are_not_told_apart(split, fused):
    info = collect_speedup(compared([row("split", 1, split), row("fused", 1, fused)]))
    assert info.panels[0].speedups[0].ratios[0].verdict == "not told apart"


@pytest.mark.parametrize(
    "drafted, axis, x",
    [((4, 4), "tokens a decode step", 40), ((0, 4), "concurrency", 8), ((None, 4), "concurrency", 8)],
)
def test_speedups_are_by_tokens_a_step_where_all_arms_draft_alike(drafted, axis, x):
    rows = [
        row(arm, 8, 10.0, draft_tokens=each) for arm, each in zip(("split", "fused"), drafted, strict=True)
    ]
    info = collect_speedup(compared(rows))
    assert info.axis.startswith(axis)
    assert info.panels[0].speedups[0].ratios[0].tokens == x


def test_imported_repeats_are_not_paired_as_if_interleaved():
    paces = {"split": (10.0, 12.0, 11.0), "fused": (9.0, 10.8, 9.9)}
    rows = [row(arm, 8, (each,), source="vllm") for arm, pace in paces.items() for each in pace]
    (ratio,) = collect_speedup(compared(rows)).panels[0].speedups[0].ratios
    assert ratio.interval == pytest.approx((10 / 10.8, 12 / 9))
    assert ratio.verdict == "not told apart"


def test_acceptance_is_plotted_with_its_window():
    rows = [
        replace(each, metrics={**each.metrics, "acceptance_length": single(2.5)}, acceptance_window=window)
        for each, window in ((ROWS[0], "run"), (ROWS[1], "server_start"))
    ]
    text = texts(plots(rows)["chat-acceptance"])
    assert "fused: counted over the run." in text
    assert "split: counted since the server started." in text
    assert "counted over different windows, not to be compared" in text


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
@pytest.mark.parametrize(
    "name, labels",
    [
        (
            "tpot",
            [
                "TPOT p50 and p99 (ms, lower is better)",
                "concurrency (requests in flight)",
                "n = 3 runs a point",
            ],
        ),
        ("throughput", ["Output throughput (tokens/s, higher is better)", "95 % intervals over runs"]),
        ("pareto", ["(tokens/s/user, higher is better)", "(tokens/s/GPU, higher is better)", "frontier"]),
        (
            "speedup",
            ["speed-up over split (ratio, higher is better)", "split (1.0)", "geometric mean, n = 3"],
        ),
    ],
)
def test_every_plot_names_unit_direction_and_n(theme, name, labels):
    text = texts(plots(ROWS)[f"chat-{name}"], theme)
    assert [label for label in labels if label not in text] == []
    assert "chat · NVIDIA_B200 · 1 GPU · gemma · measured by workbench" in text


def test_the_line_at_one_is_the_baseline_in_grey():
    figure = draw(plots(ROWS)["chat-speedup"], LIGHT)
    for axes in figure.axes:
        (line,) = (line for line in axes.lines if line.get_label() == "split (1.0)")
        assert (set(line.get_ydata()), line.get_color()) == ({1.0}, LIGHT.baseline)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_an_arm_keeps_its_colour_whatever_it_is_compared_with(theme):
    every = arm_colours(["split", "fused", "tuned", "mine"], "split", theme)
    assert every["split"] == theme.baseline
    assert len(set(every.values())) == 4
    for arms in (["split", "tuned"], ["split", "fused"], ["other", "tuned", "fused"]):
        colours = arm_colours(arms, arms[0], theme)
        assert {arm: colours[arm] for arm in arms[1:]} == {arm: every[arm] for arm in arms[1:]}
