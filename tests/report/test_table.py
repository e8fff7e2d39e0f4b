from __future__ import annotations

import json
from types import MappingProxyType

from workbench.report.table import Column, Table, print_json, print_table
from workbench.trials.trial import Status

TABLE = Table(
    "a [bold] title",
    (Column("config"), Column("us", "right")),
    (("[red]block=1[/red]", "1.50"), ("x" * 150, "12.00")),
    ("a [note]",),
)


def test_every_cell_heading_and_note_is_printed_as_it_is(capsys):
    print_table(TABLE)
    out = capsys.readouterr().out
    for text in ("a [bold] title", "config", "[red]block=1[/red]", "12.00", "a [note]"):
        assert text in out


def test_without_a_terminal_there_is_no_colour_and_nothing_is_cut(capsys):
    print_table(TABLE)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "x" * 150 in out


def test_what_a_terminal_would_obey_or_could_not_show_is_spelled(capsys):
    print_table(Table("t\x1b[2J", (Column("n"),), (("\x1b[31mred",), ("\udcff",), ("é",)), ("\x9b",)))
    out = capsys.readouterr().out
    assert not {"\x1b", "\x9b", "\udcff"} & set(out)
    for text in (r"t\x1b[2J", r"\x1b[31mred", r"\udcff", "é", r"\x9b"):
        assert text in out


def test_numbers_line_up_on_the_right(capsys):
    print_table(Table("t", (Column("n", "right"),), (("1",), ("100",))))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    (one,) = (line for line in lines if line.endswith("1"))
    (hundred,) = (line for line in lines if line.endswith("100"))
    assert len(one) == len(hundred)


def test_json_takes_tables_enums_mappings_and_sets(capsys):
    print_json({"table": TABLE, "status": Status.OK, "frozen": MappingProxyType({"a": (1,)}), "set": {1}})
    record = json.loads(capsys.readouterr().out)
    assert record["table"]["columns"][1] == {"heading": "us", "justify": "right", "style": ""}
    assert (record["status"], record["frozen"], record["set"]) == ("ok", {"a": [1]}, [1])
