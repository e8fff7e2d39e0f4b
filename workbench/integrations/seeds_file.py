"""The format of a seeds file, `workbench.seeds/1`: configs from elsewhere that a sweep starts from and has to beat.

    {"schema": "workbench.seeds/1", "kernel": "experts",
     "rows": [{"source": "SGLang: triton_3_6_0/E=128,N=704,device_name=NVIDIA_H200.json", "device": "NVIDIA_H200",
               "problem": {"num_experts": 128, "intermediate_size": 704, "dtype": "bf16", "tokens": 8},
               "config": {"BLOCK_SIZE_M": 16, ...}}]}

A problem here names only the axes that its source decides: a seed is for every problem that agrees in those. Engines'
tables leave the hidden size and the experts a token open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from moe_kernels.tunable import Problem, Value
from workbench.base.errors import InputError
from workbench.base.files import read_bytes
from workbench.base.json import decode

SCHEMA = "workbench.seeds/1"
_HEAD = 256
MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Seed:
    """One config from elsewhere.

    Attributes:
        source: where it comes from, for people.
        device: the slug of the GPU that it was chosen for.
        problem: the axes that its source decides.
        config: the parameters that its source decides.
    """

    source: str
    device: str
    problem: Problem
    config: Mapping[str, Value]

    def is_for(self, problem: Problem) -> bool:
        """Whether the seed's axes agree with a problem's."""
        return all(problem.get(axis) == value for axis, value in self.problem.items())


@dataclass(frozen=True, slots=True)
class Seeds:
    """A seeds file.

    Attributes:
        kernel: what the configs are for.
    """

    kernel: str
    rows: tuple[Seed, ...]

    def open_axes(self, problem: Problem) -> tuple[tuple[Seed, Problem], ...]:
        """The seeds of a problem at any token count, each with its axes completed from the problem.

        Args:
            problem: every axis; its `tokens` need not be a seed's.
        """
        return tuple(
            (seed, {**problem, **seed.problem})
            for seed in self.rows
            if seed.is_for({**problem, "tokens": seed.problem.get("tokens", 0)})
        )


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    device: str
    problem: dict[str, Annotated[int, msgspec.Meta(gt=0)] | str]
    config: dict[str, int | float | str]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    schema: str
    kernel: str
    rows: list[_Row]


def seeds_text(seeds: Seeds) -> str:
    """A seeds file as text, a row to a line."""
    rows = ",\n  ".join(json.dumps(asdict(seed)) for seed in seeds.rows)
    head = f'"schema": {json.dumps(SCHEMA)}, "kernel": {json.dumps(seeds.kernel)}'
    return f'{{{head},\n "rows": [\n  {rows}\n ]}}\n'


def is_seeds_file(path: Path) -> bool:
    """Whether a file says at its beginning that it is one of these."""
    try:
        with path.open("rb") as file:
            return json.dumps(SCHEMA).encode() in file.read(_HEAD)
    except OSError:
        return False


def read_seeds(path: Path) -> Seeds:
    """Reads a seeds file, strictly.

    Raises:
        InputError: names file and key, and says what is allowed.
    """
    found = decode(read_bytes(path, MAX_BYTES), _File, path)
    if found.schema != SCHEMA:
        raise InputError(f"must be {SCHEMA}, got {found.schema[:40]!r}", file=path, key="schema")
    return Seeds(
        found.kernel, tuple(Seed(row.source, row.device, row.problem, row.config) for row in found.rows)
    )
