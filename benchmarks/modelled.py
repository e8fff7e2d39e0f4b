"""What the modelled ranking is worth: `python benchmarks/modelled.py vllm-*.whl sglang-*.whl`.

Reads the tuned tables that vLLM and SGLang ship, from their published wheels (`pip download --no-deps vllm sglang`),
fits the ranking to one half of them and prints where it puts the winners of the other half: the median percentile of
the launchable grid, and how many are in its best 10 and 30 per cent and among the first 50, 100 and 200 configs. Tables
of one GPU family, E and N, or of the same content, are on the same side. Then one GPU family after another is left out.

Winners are all that tables tell: nothing here is a time, and rows as fast as the winner count as misses.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from itertools import compress
from pathlib import Path

import numpy as np

from workbench.ranking.board import Board
from workbench.ranking.choices import Choice, choices_of, linked
from workbench.ranking.fit import fit
from workbench.ranking.judge import Placing, Worth, place
from workbench.ranking.ranker import load_ranker
from workbench.ranking.tables import TableWinners, collect_tables

# The first name that a device's slug holds is its family; the second column is the family it is counted as.
FAMILIES = {
    "H200": "H200", "H20": "H20", "H100": "H100", "H800": "H100", "GB200": "B200", "B200": "B200", "GB300": "B300",
    "B300": "B300", "A100": "A100", "A800": "A100", "L40S": "L40S", "RTX_PRO_6000": "RTX PRO 6000",
}  # fmt: skip
LEFT_OUT = (
    ("H100",),
    ("H200",),
    ("B200",),
    ("A100",),
    ("L40S",),
    ("RTX PRO 6000",),
    ("L40S", "RTX PRO 6000"),
)
TOKENS = {"T <= 8": (1, 8), "9..128": (9, 128), "129..1024": (129, 1024), "> 1024": (1025, 1 << 31)}
HEADING = f"{'':<24}{'rows':>6}{'median':>8}{'in 10 %':>9}{'in 30 %':>9}{'top 50':>8}{'100':>6}{'200':>6}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="+", help="wheels, folders or installed packages")
    parser.add_argument("--splits", type=int, default=4, help="random halves")
    parser.add_argument("--seed", type=int, default=0, help="of the first split")
    parser.add_argument("--ranking", type=Path, help="judge this fit on every table, and fit nothing")
    parser.add_argument("--no-left-out", action="store_true", help="leave no family out")
    arguments = parser.parse_args()
    # The same halves in whichever order the wheels are named.
    tables = sorted(collect_tables(arguments.tables).tables, key=content)
    print(f"{len(tables)} tables, {sum(len(table.rows) for table in tables)} rows")
    if arguments.ranking:
        report("given", place(load_ranker(arguments.ranking), judged(tables)))
        return
    halves(tables, range(arguments.seed, arguments.seed + arguments.splits))
    if not arguments.no_left_out:
        left_out(tables)


def content(table: TableWinners) -> tuple[object, ...]:
    shape = table.num_experts, table.intermediate_size, table.block_scaled
    return table.board.name, table.dtype, *shape, sorted(table.rows.items())


def halves(tables: Sequence[TableWinners], seeds: Sequence[int]) -> None:
    every: list[Placing] = []
    for seed in seeds:
        started, learns = time.perf_counter(), split(tables, seed)
        ranker = fit(choices_of(compress(tables, learns)))
        placings = place(ranker, judged(compress(tables, (not learn for learn in learns))))
        report(f"split {seed} ({time.perf_counter() - started:.0f} s)", placings, detailed=False)
        every += placings
    if len(seeds) > 1:
        report(f"{len(seeds)} splits together", every)


def left_out(tables: Sequence[TableWinners]) -> None:
    """Fits without a family, and judges by all its rows."""
    for families in LEFT_OUT:
        is_out = [family(table.board) in families for table in tables]
        kept = judged(compress(tables, is_out))
        if kept and not all(is_out):
            ranker = fit(choices_of(compress(tables, (not out for out in is_out))))
            report(f"fitted without {' and '.join(families)}", place(ranker, kept), detailed=False)


def split(tables: Sequence[TableWinners], seed: int) -> list[bool]:
    """Which tables to learn from: half of the linked groups of every family, those with judged tables apart."""
    random, groups = np.random.default_rng(seed), linked(tables, family).tolist()
    strata: dict[int, tuple[bool, str]] = {}
    for group, table in zip(groups, tables, strict=True):
        key = (is_judged(table), family(table.board))
        strata[group] = max(strata.get(group, key), key)
    learned: set[int] = set()
    for stratum in sorted(set(strata.values())):
        order = random.permutation(sorted(group for group, key in strata.items() if key == stratum))
        learned.update(order[: (len(order) + int(random.integers(2))) // 2].tolist())
    return [group in learned for group in groups]


def is_judged(table: TableWinners) -> bool:
    return table.dtype == "bf16" and not table.block_scaled and 64 <= table.num_experts <= 257


def judged(tables: Iterable[TableWinners]) -> tuple[Choice, ...]:
    return choices_of(filter(is_judged, tables))


def family(board: Board) -> str:
    return next((counted for name, counted in FAMILIES.items() if name in board.name), board.name)


def report(title: str, placings: Sequence[Placing], *, detailed: bool = True) -> None:
    print(f"\n{title}\n{HEADING}")
    print_worth("all", placings)
    for name in sorted({family(each.choice.board) for each in placings}):
        print_worth(name, [each for each in placings if family(each.choice.board) == name])
    if detailed:
        for name, (least, most) in TOKENS.items():
            print_worth(name, [each for each in placings if least <= each.choice.workload.tokens <= most])


def print_worth(name: str, placings: Sequence[Placing]) -> None:
    if placings:
        worth = Worth.of(placings)
        shares = f"{worth.within[0]:>9.0f}{worth.within[1]:>9.0f}{worth.top[0]:>8.0f}"
        print(
            f"{name:<24}{worth.rows:>6}{worth.median:>8.1f}{shares}{worth.top[1]:>6.0f}{worth.top[2]:>6.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
