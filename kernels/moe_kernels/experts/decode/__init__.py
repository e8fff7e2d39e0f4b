"""The experts for few tokens: no sorting, each expert's weights read once."""

from moe_kernels.experts.decode.tunable import (
    BLOCK_M,
    EXPERTS_DECODE,
    DecodeWorkspace,
    decode_launches,
)

__all__ = ["BLOCK_M", "EXPERTS_DECODE", "DecodeWorkspace", "decode_launches"]
