"""Results files of the experts' kernel, as a sweep would leave them."""

from __future__ import annotations

from moe_kernels.tuned import Row, Run, TunedFile, serialise

PROBLEM = {"num_experts": 128, "top_k": 8, "hidden_size": 2816, "intermediate_size": 704, "dtype": "bf16"}
SHORT = {
    "num_experts": "E",
    "top_k": "K",
    "hidden_size": "H",
    "intermediate_size": "I",
    "dtype": "dtype",
    "group_size": "g",
}
CONFIG = {
    "BLOCK_SIZE_M": 16,
    "BLOCK_SIZE_N": 64,
    "BLOCK_SIZE_K": 128,
    "GROUP_SIZE_M": 1,
    "num_warps": 4,
    "num_stages": 5,
}
FUSED = {**CONFIG, "BLOCK_SIZE_N": 32, "fuse_activation": 1}
UNFUSED = {**CONFIG, "fuse_activation": 0}


def a_run(triton="3.6.0"):
    versions = {"torch": "2.11.0", "triton": triton}
    return Run(source_hash="a" * 16, versions=versions, date="2026-01-01T12:00:00Z")


def a_row(**changes):
    fields = {
        "run": "run-1",
        "config": UNFUSED,
        "evidence": "measured",
        "time_us": 20.0,
        "ci_us": (19.0, 21.0),
        "default_time_us": 30.0,
        "measure": {"routing": "uniform"},
    }
    return Row(**{**fields, **changes})


def kept(**changes):
    """What a row keeps of the engines' variant where another won."""
    fields = {
        "config": UNFUSED,
        "time_us": 25.0,
        "default_time_us": 30.0,
        "ci_us": [24.0, 26.0],
        "kept_default": False,
    }
    return {"engine": {**fields, **changes}}


def stem(problem):
    return ",".join(f"{short}={problem[axis]}" for axis, short in SHORT.items() if axis in problem)


def write(folder, rows=None, *, problem=None, name="NVIDIA B200", slug=None, kernel="experts", runs=None):
    problem, slug = {**PROBLEM, **(problem or {})}, slug or name.replace(" ", "_")
    file = TunedFile(
        kernel=kernel,
        device=slug,
        device_name=name,
        arch="sm_100",
        problem=problem,
        runs=runs or {"run-1": a_run()},
        rows=rows or {8: a_row()},
    )
    path = folder / slug / kernel / f"{stem(problem)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(serialise(file))
    return path
