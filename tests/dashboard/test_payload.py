from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dashboard.samples import (
    B200,
    DEFAULT,
    LADDER,
    a_row,
    bench_rows,
    panel,
    read,
    record_of,
    tables_of,
    texts,
    whole_folder,
    write_rows,
    write_winners,
)
from workbench.base.errors import InputError
from workbench.base.shipped import shipped_asset
from workbench.dashboard.blocks import Cell, TableRow
from workbench.dashboard.payload import payload
from workbench.dashboard.sharing import share
from workbench.figures.bench.arms import palette_places
from workbench.plots.style import DARK, LIGHT

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda key: key != "$"), inner),
)


def revived(shared):
    """What the page's script does."""
    parts = []

    def whole(value):
        if isinstance(value, list):
            return [whole(each) for each in value]
        if not isinstance(value, dict):
            return value
        return parts[value["$"]] if "$" in value else {name: whole(each) for name, each in value.items()}

    for each in shared["shared"]:
        parts.append(whole(each))
    return whole(shared["value"])


@settings(max_examples=25, deadline=None)
@given(JSON)
def test_what_is_shared_comes_back_as_it_was(value):
    assert repr(revived(share(value))) == repr(value)


def test_what_stands_often_is_written_once():
    rows = [{"config": "block=128 num_warps=4", "tokens": each} for each in range(50)]
    assert json.dumps(share(rows)).count("block=128") == 1


def test_a_cell_that_is_only_text_is_a_string():
    row = payload(TableRow((Cell("1.5", 1.5), Cell("fused"))))
    assert row["cells"] == [{"text": "1.5", "sort": 1.5}, "fused"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return whole_folder(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def dashboard(folder):
    return read(folder)


def test_the_record_is_plain_json_and_names_its_schema(folder):
    record = record_of(folder)
    assert record["schema"] == "workbench.dashboard/1"
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_the_speed_up_of_a_file_is_the_geometric_mean_of_its_rungs(dashboard):
    row = panel(dashboard, "winners").blocks[0].rows[0]
    assert texts(row)[:3] == ["NVIDIA B200", "routing", "E=128 K=8 dtype=bf16"]
    assert row.cells[4].sort == pytest.approx(math.prod([1.5, 3.0, 1.0]) ** (1 / 3))
    assert texts(row)[4:9] == ["1.65x", "3.00x at 8", "2 of 3", "measured", "3 d"]


def test_every_rung_of_a_file_stands_in_its_detail(dashboard):
    rungs = panel(dashboard, "winners").blocks[0].rows[0].detail.rows
    assert [texts(row)[:7] for row in rungs] == [
        ["1", "block=128", "measured", "2", "1.9 to 2.1", "3", "1.50x"],
        ["8", "block=128", "measured", "1", "0.9 to 1.1", "3", "3.00x"],
        ["64", "the default", "measured", "3", "2.9 to 3.1", "3", "kept"],
    ]


def test_nothing_modelled_looks_measured(dashboard):
    row = panel(dashboard, "winners").blocks[0].rows[1]
    assert texts(row)[4:8] == ["-", "-", "3 of 3", "modelled"]
    assert not any(bar.timed for bar in row.cells[3].bars)
    assert all(
        rung.cells[2].text == "modelled" and rung.cells[3].text.startswith("~") for rung in row.detail.rows
    )
    assert {rung.cells[6].text for rung in row.detail.rows} == {"ahead"}
    assert any("nothing was timed" in note for note in panel(dashboard, "winners").notes)


def test_modelled_rows_are_counted_and_no_speed_up_is_told(tmp_path):
    modelled = a_row(evidence="modelled", ci_us=None, time_us=0.1)
    write_winners(tmp_path, {1: modelled, 8: modelled})
    dashboard = read(tmp_path)
    assert panel(dashboard, "winners").finding == "2 modelled rows, none measured."
    assert [(each.label, each.value) for each in dashboard.highlights] == [("Modelled rows", "2")]
    assert "none measured" in dashboard.highlights[0].detail
    assert not re.search(r"\d+\.\d\dx", json.dumps(payload(dashboard)))


def test_figures_of_different_evidence_are_never_averaged(tmp_path):
    modelled = a_row(evidence="modelled", ci_us=None, time_us=0.1, run="m")
    write_winners(tmp_path, {1: a_row(), 8: modelled})
    found = panel(read(tmp_path), "winners")
    assert found.finding.startswith(
        "Winners are 1.50x as fast as the default: geometric mean over 1 rung (measured)"
    )
    cell = found.blocks[0].rows[0].cells[4]
    assert (cell.text, "1 of other evidence left out" in cell.hint) == ("1.50x", True)


def test_a_default_that_cannot_run_has_no_speed_up(tmp_path):
    write_winners(tmp_path, {1: a_row(default_time_us=None)})
    row = panel(read(tmp_path), "winners").blocks[0].rows[0]
    assert texts(row)[4:6] == ["-", "default cannot run"]
    assert texts(row.detail.rows[0])[5:7] == ["cannot run", "-"]


def test_the_table_stands_in_the_order_that_the_definition_names(tmp_path):
    for device, time in ((B200, 2.0), ("NVIDIA_H200", 1.0), ("NVIDIA_L40S", 2.9)):
        write_winners(tmp_path, {1: a_row(time_us=time, ci_us=None)}, device=device)

    def order(text):
        (tmp_path / "mine.yaml").write_text(f"panels: {{winners: {text}}}")
        return [
            texts(row)[0].removeprefix("NVIDIA ")
            for row in read(tmp_path, tmp_path / "mine.yaml").panels[0].blocks[0].rows
        ]

    assert order("") == ["H200", "B200", "L40S"]
    assert order("{sort: speedup, descending: false}") == ["L40S", "B200", "H200"]
    assert order("{sort: device, descending: false}") == ["B200", "H200", "L40S"]
    assert order("{devices: [l40s]}") == ["L40S"]


def test_a_device_that_nobody_knows_is_an_error_with_its_place(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("panels:\n  winners:\n    devices:\n      - b2000\n")
    with pytest.raises(InputError, match=r"mine.yaml:4: panels.winners.devices\[0\]: no device 'b2000'"):
        read(tmp_path, path)


def test_the_share_table_holds_each_arms_shares_and_what_changed(dashboard):
    (option,) = panel(dashboard, "timeline").blocks[0].options
    shares = next(table for table in tables_of(option.blocks) if table.caption.startswith("A step by class"))
    routing = next(row for row in shares.rows if row.cells[0].text == "routing")
    assert texts(routing) == ["routing", "68.0", "8.2%", "7.7%", "4", "16.0", "2.1%", "2.0%", "1", "-52.0"]


def test_the_timeline_holds_every_kernel_of_a_step(dashboard):
    (option,) = panel(dashboard, "timeline").blocks[0].options
    (timeline,) = [block for block in option.blocks if block.kind == "timeline"]
    assert [len(arm["start"]) for arm in timeline.record["arms"]] == [4 * 13, 4 * 10]


def test_curves_hold_every_row_with_its_interval_and_failures_as_such(dashboard):
    (option,) = panel(dashboard, "serving").blocks[0].options
    tpot, throughput, ttft = (block for block in option.blocks if block.kind == "chart")
    split = next(series for series in tpot.series if series.name == "split")
    figures = [row.metrics["tpot_p50_ms"] for row in bench_rows() if row.arm == "split"]
    assert [(point.y, point.bars) for point in split.points] == [
        (each.value, each.interval) for each in figures
    ]
    assert [(point.x, point.label) for point in tpot.series[-1].points] == [(64, "oom")]
    assert (throughput.y.label, ttft.y.label.split(" (")[1]) == (
        "Output throughput (tokens/s, higher is better)",
        "ms, lower is better)",
    )


def test_arms_look_the_same_in_every_picture_and_as_in_the_plots():
    assert palette_places(["split", "fused", "tuned", "other"], "split") == {
        "split": -1,
        "fused": 0,
        "tuned": 1,
        "other": 2,
    }
    style = shipped_asset("dashboard.css").read_text()
    for theme in (LIGHT, DARK):
        assert all(f"--arm{place}: {colour};" in style for place, colour in enumerate(theme.palette))
        assert f"--baseline: {theme.baseline};" in style


def test_rows_that_do_not_compare_say_so_and_the_others_are_drawn(tmp_path):
    write_rows(tmp_path)
    odd = [row for row in bench_rows() if row.arm == "split"]
    odd = [
        type(row)(
            **{
                **{name: getattr(row, name) for name in row.__slots__},
                "workload": "odd",
                "input_tokens": 10.0 * at,
            }
        )
        for at, row in enumerate(odd, 1)
    ]
    write_rows(tmp_path, odd, name="odd")
    options = panel(read(tmp_path), "serving").blocks[0].options
    kinds = {option.label.split(" / ")[0]: [block.kind for block in option.blocks] for option in options}
    assert kinds["odd"] == ["text"]
    assert "chart" in kinds["chat"]
    assert (
        "cannot be compared"
        in next(option for option in options if option.label.startswith("odd")).blocks[0].lines[0]
    )


def test_the_pareto_frontier_is_marked_in_words_too(dashboard):
    (option,) = panel(dashboard, "pareto").blocks[0].options
    (table,) = tables_of(option.blocks)
    assert [texts(row)[0::4] for row in table.rows] == [
        ["split", "no"], ["split", "no"], ["split", "yes"], ["fused", "yes"], ["fused", "yes"], ["fused", "no"],
    ]  # fmt: skip


def test_convergence_landscape_and_failures_are_those_of_the_journal(dashboard):
    curves = panel(dashboard, "convergence").blocks[0].options[0].blocks
    assert [chart.title for chart in curves if chart.kind == "chart"] == [
        f"tokens={tokens}, 2.50x" for tokens in LADDER
    ]
    heat = panel(dashboard, "landscape").blocks[0].options[0].blocks[0].options[0].blocks[0]
    assert {(square.mark, square.text) for square in heat.squares if square.mark} == {
        ("best", "1.00"),
        ("default", "2.50"),
    }
    assert [square.text for square in heat.squares if square.shade is None] == ["none"]
    (failures,) = tables_of(panel(dashboard, "failures").blocks[0].options[0].blocks)
    assert [texts(row)[:3] for row in failures.rows] == [
        ["ok", "18", "85.7%"],
        ["out of resources", "3", "14.3%"],
    ]


def test_the_source_of_winners_is_compared_where_the_kernels_are_at_hand(folder):
    from workbench.trials.winners import KernelAtHand

    found = panel(
        read(folder, find_kernel=lambda name, problem: KernelAtHand(default=DEFAULT, source_hash="1" * 16)),
        "winners",
    )
    assert {texts(row)[-1] for row in found.blocks[0].rows} == {"changed"}
    assert any("A lookup skips these" in note for note in found.notes)


def test_an_authors_title_and_note_stand_in_the_panel(folder, tmp_path):
    (tmp_path / "mine.yaml").write_text("title: Ours\npanels: {winners: {title: Best, note: of March}}")
    dashboard = read(folder, tmp_path / "mine.yaml")
    assert (dashboard.title, dashboard.panels[0].title, dashboard.panels[0].notes[-1]) == (
        "Ours",
        "Best",
        "of March",
    )
