from __future__ import annotations

from pathlib import Path

import pytest

from moe_kernels.tunable import Axis, Parameter, Traffic, TunableKernel
from tests.sweep.in_process import Bench
from workbench.sweep.spec import LoadedSpec, check_kernel, load_spec

SWEEP = """\
name: toy
kernel: toy
device: auto
problems: {rows: [2, 4], dtype: bf16}
space: {block: [1, 2, 4], mode: [fast, slow]}
constraints: ["block <= rows"]
"""


@pytest.fixture(scope="session")
def toy() -> TunableKernel:
    """A kernel that can be described and listed, and never run."""

    def never(*arguments):
        raise AssertionError("this kernel is never run")

    return TunableKernel(
        name="toy",
        axes=(Axis("dtype", "dtype", kind="dtype"), Axis("rows", "R", ladder=True)),
        parameters=(
            Parameter("block", 1),
            Parameter("mode", "fast", kind="categorical", choices=("fast", "slow")),
            Parameter("scale", 0.5),
        ),
        kernels=(),
        make_inputs=never,
        make_outputs=never,
        launches=never,
        reference=never,
        traffic=lambda problem: Traffic(0, 0, 0),
    )


@pytest.fixture
def sweep_file(tmp_path):
    """Writes the toy sweep with some of its text replaced and returns its path."""

    def write(**replaced: str) -> Path:
        lines = {line.split(":")[0]: line for line in SWEEP.splitlines()}
        lines |= {key: f"{key}: {text}" for key, text in replaced.items()}
        path = tmp_path / "sweep.yaml"
        path.write_text("\n".join(lines.values()) + "\n")
        return path

    return write


@pytest.fixture
def load(sweep_file, toy):
    """Loads the toy sweep, with some keys replaced, and checks it against the toy kernel."""

    def load_checked(**replaced: str) -> LoadedSpec:
        loaded = load_spec(sweep_file(**replaced))
        check_kernel(loaded, toy)
        return loaded

    return load_checked


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A whole sweep in this process, on answers that the test makes up."""
    return Bench(tmp_path, monkeypatch)
