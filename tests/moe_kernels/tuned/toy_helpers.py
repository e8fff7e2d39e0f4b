from __future__ import annotations

import triton

WEIGHT = 7


@triton.jit
def weigh(value):
    return value * WEIGHT
