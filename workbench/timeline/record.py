"""What is saved of a summary, for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from workbench.timeline.summary import SCHEMA, KernelShare, Stretch, Summary
from workbench.timeline.what_if import Forecast


def summary_record(summary: Summary, what_if: Forecast | None = None) -> Mapping[str, Any]:
    """The summary for JSON; times in microseconds, shares as fractions."""
    total = _stretch_record(summary.total)
    return {
        "schema": SCHEMA,
        "file": summary.file,
        "basis": summary.basis,
        "device_names": list(summary.device_names),
        "reliable": summary.reliable,
        "reasons": list(summary.reasons),
        "notes": list(summary.notes),
        **{name: value for name, value in total.items() if name not in {"name", "start_us"}},
        **dataclasses.asdict(summary.gaps),
        "coverage": summary.coverage,
        "graphs": dataclasses.asdict(summary.graphs),
        "layers": dataclasses.asdict(summary.layers),
        "per_step": dataclasses.asdict(summary.per_step),
        "steps": [_stretch_record(step) for step in summary.steps],
        "devices": [_stretch_record(device) for device in summary.devices],
        "kernels": [_kernel_record(kernel) for kernel in summary.kernels],
        **({"what_if": dataclasses.asdict(what_if)} if what_if else {}),
    }


def _stretch_record(part: Stretch) -> Mapping[str, Any]:
    return dataclasses.asdict(part)


def _kernel_record(kernel: KernelShare) -> Mapping[str, Any]:
    fields = dataclasses.asdict(kernel)
    return {"name": fields.pop("name"), "class": fields.pop("kernel_class"), **fields}
