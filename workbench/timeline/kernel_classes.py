"""What a kernel can be for."""

from __future__ import annotations

from typing import Literal, get_args

KernelClass = Literal[
    "routing",
    "experts",
    "attention",
    "rope",
    "kv_cache",
    "gemm",
    "norm",
    "activation",
    "embedding",
    "elementwise",
    "reduction",
    "sort",
    "sampling",
    "copy",
    "communication",
    "optimizer",
    "other",
]
CLASSES: tuple[KernelClass, ...] = get_args(KernelClass)
