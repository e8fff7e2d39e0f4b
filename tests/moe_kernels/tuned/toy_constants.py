from __future__ import annotations

import triton.language as tl

SCALE = tl.constexpr(3)
OFFSET = 2.5
