"""Compares the screening of the experts' grid with what Triton compiles: `python benchmarks/screen.py --sample 60`.

Every config of the grid that vLLM's and SGLang's tuners search is compiled for a GPU of each architecture, with the
activation in a launch of its own and fused, and what the closed form of shared memory says of it before anything is
compiled is compared with what its code asks for. The table counts, for each architecture and variant, the configs on
which both agree, those that the closed form drops though they can launch, those that it keeps though they cannot, and
those where it is off by more than the barriers' 16 bytes. Ends with 1 where one of the last three is not 0. Where the
closed form is not proven it is not asked and the compile decides: these are counted, too.

A config is compiled as far as its shared memory is settled, 0.2 to 0.5 s; `--whole` goes on to machine code, for
configs that spill several seconds, and screens by registers and threads, too. The whole grid has 11,520 compiles on
three architectures; `--one-group` draws one of the four GROUP_SIZE_M of each tile, on which no memory depends, and
`--sample` draws as many configs. The same seed draws the same.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from moe_kernels.registry import TUNABLES
from moe_kernels.tunable import Config, Problem
from workbench.devices import Device, find_device
from workbench.ranking.grid import GRID, Row
from workbench.ranking.legality import BARRIER_BYTES, shared_bytes_of
from workbench.ranking.workload import ELEMENT_BYTES, PARAMETERS
from workbench.sweep.priors import is_proven, why_too_large
from workbench.sweep.stages.allocation import allocated_bytes
from workbench.sweep.stages.compile import compile_candidate
from workbench.sweep.stages.screen import why_unlaunchable
from workbench.trials.trial import Candidate

EXPERTS = TUNABLES["experts"]
DEVICES = ("h200", "b200", "rtx5090")
PROBLEM: Problem = {
    "num_experts": 128,
    "top_k": 8,
    "hidden_size": 2816,
    "intermediate_size": 704,
    "dtype": "bf16",
    "tokens": 64,
}
VERDICTS = ("agree", "dropped wrongly", "kept wrongly", "bytes differ", "not proven")
BAD = VERDICTS[1:4]
HEADING = f"{'device':<34}{'fuse_activation':>16}{'configs':>9}" + "".join(f"{each:>17}" for each in VERDICTS)


@dataclass(frozen=True, slots=True)
class Screened:
    """One config on one GPU: what the closed form says, and what its code asks for."""

    device: Device
    config: Config
    is_proven: bool
    dropped: bool
    too_large: bool
    closed_bytes: int
    compiled_bytes: int

    @property
    def verdict(self) -> str:
        """The first that holds of what `VERDICTS` names."""
        if not self.is_proven:
            return "not proven"
        if self.dropped != self.too_large:
            return VERDICTS[1 if self.dropped else 2]
        return VERDICTS[0 if 0 <= self.compiled_bytes - self.closed_bytes <= BARRIER_BYTES else 3]


def main() -> None:
    """Prints a table, and every config that is not as it should be."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", action="append", help=f"of the catalogue; otherwise {', '.join(DEVICES)}")
    parser.add_argument("--sample", type=int, help="configs of the grid")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--one-group", action="store_true", help="one GROUP_SIZE_M of each tile")
    parser.add_argument("--whole", action="store_true", help="compile to machine code")
    for axis in ("hidden_size", "intermediate_size", "dtype"):
        parser.add_argument(f"--{axis.replace('_', '-')}", default=PROBLEM[axis], type=type(PROBLEM[axis]))
    arguments = parser.parse_args()
    problem = {**PROBLEM, **{axis: value for axis, value in vars(arguments).items() if axis in PROBLEM}}
    rows = drawn(random.Random(arguments.seed), arguments.sample, arguments.one_group)
    devices = [find_device(name) for name in arguments.device or DEVICES]
    with tempfile.TemporaryDirectory() as cache:
        set_cache(cache)
        found = list(screened(problem, devices, rows, arguments.whole))
    print_table(found)
    sys.exit(any(each.verdict in BAD for each in found))


def set_cache(folder: str) -> None:
    """Makes Triton keep what it compiles in a folder of this run."""
    from triton import knobs

    knobs.cache.dir = folder


def drawn(source: random.Random, sample: int | None, one_group: bool) -> list[Row]:
    """Rows of the grid, in an order of which every start is a fair sample."""
    tiles = groupby(sorted(GRID, key=_tile), key=_tile)
    rows = [source.choice(list(group)) for _, group in tiles] if one_group else list(GRID)
    source.shuffle(rows)
    return rows[:sample]


def _tile(row: Row) -> Row:
    return tuple(value for name, value in zip(PARAMETERS, row, strict=True) if name != "GROUP_SIZE_M")


def screened(
    problem: Problem, devices: Sequence[Device], rows: Sequence[Row], whole: bool
) -> Iterator[Screened]:
    """Screens and compiles; configs are the outer loop, so that an interrupted run has seen every device alike."""
    compare, started = (_compiled if whole else _allocated), time.perf_counter()
    for count, row in enumerate(rows):
        for fuse in (0, 1):
            config = EXPERTS.complete({**dict(zip(PARAMETERS, row, strict=True)), "fuse_activation": fuse})
            for device in devices:
                found = compare(problem, device, config)
                if found.verdict in BAD:
                    print(f"{found.verdict}: {found}", flush=True)
                yield found
        if count % 20 == 19:
            print(
                f"{count + 1} of {len(rows)} configs, {time.perf_counter() - started:.0f} s", file=sys.stderr
            )


def _allocated(problem: Problem, device: Device, config: Config) -> Screened:
    needed = allocated_bytes(EXPERTS, Candidate(problem, config), device.compute_capability)
    return _screened(problem, device, config, needed, needed > device.shared_bytes_per_block)


def _compiled(problem: Problem, device: Device, config: Config) -> Screened:
    resources = compile_candidate("experts", Candidate(problem, config), device.compute_capability)
    needed = max(launch.shared_bytes for launch in resources)
    return _screened(problem, device, config, needed, why_unlaunchable(resources, device) is not None)


def _screened(problem: Problem, device: Device, config: Config, needed: int, too_large: bool) -> Screened:
    return Screened(
        device=device,
        config=config,
        is_proven=is_proven(problem, device, config),
        dropped=why_too_large(problem, device, config) is not None,
        too_large=too_large,
        closed_bytes=shared_bytes_of(config, device.compute_capability, ELEMENT_BYTES[str(problem["dtype"])]),
        compiled_bytes=needed,
    )


def print_table(found: Sequence[Screened]) -> None:
    """A line for each device and variant."""
    print(HEADING)
    for name, fuse in sorted({(each.device.slug, each.config["fuse_activation"]) for each in found}):
        mine = [each for each in found if (each.device.slug, each.config["fuse_activation"]) == (name, fuse)]
        counts = Counter(each.verdict for each in mine)
        print(f"{name:<34}{fuse:>16}{len(mine):>9}" + "".join(f"{counts[each]:>17}" for each in VERDICTS))


if __name__ == "__main__":
    main()
