"""Tuned configs at run time: what a kernel runs with on this device, for this problem, at this token count.

    lookup("routing", {"num_experts": 128, "top_k": 8, "dtype": "bf16"}, tokens=8, device="NVIDIA_B200")

Folders of results, in order: `$WORKBENCH_RESULTS`, `./results`, what ships with this package. Measured rows
of the kernel's current source count; `WORKBENCH_EVIDENCE=modelled` admits modelled ones. Otherwise the
default config is taken, and said once through the logger `moe_kernels.tuned`.
"""

from __future__ import annotations

from moe_kernels.device_slug import device_slug
from moe_kernels.tuned._folders import Folder, read_tuned, results_folders
from moe_kernels.tuned._json import TunedFileError
from moe_kernels.tuned.explanation import Explanation, FileVerdict, RowVerdict
from moe_kernels.tuned.format import EVIDENCE, SCHEMA, Row, Run, TunedFile, parse, serialise
from moe_kernels.tuned.lookup import explain, lookup, pinned, refresh
from moe_kernels.tuned.source import source_hash

__all__ = [
    "EVIDENCE",
    "SCHEMA",
    "Explanation",
    "FileVerdict",
    "Folder",
    "Row",
    "RowVerdict",
    "Run",
    "TunedFile",
    "TunedFileError",
    "device_slug",
    "explain",
    "lookup",
    "parse",
    "pinned",
    "read_tuned",
    "refresh",
    "results_folders",
    "serialise",
    "source_hash",
]
