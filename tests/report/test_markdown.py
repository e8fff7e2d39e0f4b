from __future__ import annotations

import pytest

from workbench.report.markdown import literal, markdown
from workbench.report.table import Column, Table


def test_a_table_is_a_table_in_markdown():
    table = Table("A step", (Column("class"), Column("us", "right")), (("gemm", "1.5"),), ("one note",))
    assert markdown([table]) == "**A step**\n\n| class | us |\n|:---|---:|\n| gemm | 1.5 |\n\n- one note\n"


@pytest.mark.parametrize(
    "name, shown",
    [
        ("4 kernels a layer -> 1", "`4 kernels a layer -> 1`"),
        ("kv_cache", "`kv_cache`"),
        ("<img src=x>", "`<img src=x>`"),
        ("@someone", "`@someone`"),
        ("a`b``c", "```a`b``c```"),
        ("`x`", "`` `x` ``"),
        ("https://example.org", "`https://example.org`"),
        ("a\nb", "a b"),
        ("12.5%", "12.5%"),
    ],
)
def test_a_name_is_shown_as_it_is(name, shown):
    assert literal(name) == shown


def test_a_pipe_or_a_line_in_a_name_does_not_break_the_table():
    table = Table("t", (Column("kernel"),), (("a|b\n| c |",),))
    assert markdown([table]).count("\n| ") == 2
    assert r"`a\|b \| c \|`" in markdown([table])
