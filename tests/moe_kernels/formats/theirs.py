"""What compressed-tensors makes of one matrix: its min-max calibration and its compressors."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("compressed_tensors", reason="needs compressed-tensors")

from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam
from torch.nn import functional

from moe_kernels.formats import Fp8, Int4

FP8_COMPRESSOR, INT4_COMPRESSOR, NVFP4_COMPRESSOR = (
    "float-quantized",
    "pack-quantized",
    "nvfp4-pack-quantized",
)


def int4_args(weight_format: Int4) -> QuantizationArgs:
    strategy = "channel" if weight_format.group_size is None else "group"
    return QuantizationArgs(
        num_bits=4, symmetric=weight_format.symmetric, strategy=strategy, group_size=weight_format.group_size
    )


def fp8_args(weight_format: Fp8) -> QuantizationArgs:
    blocks = [128, 128] if weight_format.scales == "block" else None
    return QuantizationArgs(num_bits=8, type="float", strategy=weight_format.scales, block_structure=blocks)


def nvfp4_args() -> QuantizationArgs:
    return QuantizationArgs(
        num_bits=4, type="float", strategy="tensor_group", group_size=16, scale_dtype=torch.float8_e4m3fn
    )


def grouped(matrix, group):
    return matrix.reshape(len(matrix), -1, group or matrix.shape[1])


def blocked(matrix):
    padded = functional.pad(matrix, (0, -matrix.shape[1] % 128, 0, -matrix.shape[0] % 128))
    return padded.reshape(padded.shape[0] // 128, 128, -1, 128).transpose(1, 2).flatten(2)


def compress_int4(matrix, weight_format: Int4):
    groups = grouped(matrix, weight_format.group_size)
    return compress(INT4_COMPRESSOR, matrix, groups.amin(-1), groups.amax(-1), int4_args(weight_format))


def compress_fp8(matrix, weight_format: Fp8):
    shared = {"tensor": matrix.flatten(), "channel": matrix.unsqueeze(1), "block": blocked(matrix)}
    part = shared[weight_format.scales]
    return compress(FP8_COMPRESSOR, matrix, part.amin(-1), part.amax(-1), fp8_args(weight_format))


def compress_nvfp4(matrix, global_scale=None):
    found = generate_gparam(matrix.amin(), matrix.amax()) if global_scale is None else global_scale
    groups = grouped(matrix, 16)
    return compress(NVFP4_COMPRESSOR, matrix, groups.amin(-1), groups.amax(-1), nvfp4_args(), found)


def compress(compressor, matrix, lowest, highest, args, global_scale=None):
    """The tensors of the compressed matrix by their name in a checkpoint, and the matrix that they decompress to."""
    scale, zero_point = calculate_qparams(lowest, highest, args, global_scale=global_scale)
    held = {"weight": matrix, "weight_scale": scale, "weight_zero_point": zero_point}
    if global_scale is not None:
        held["weight_global_scale"] = global_scale
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    compressed = BaseCompressor.get_value_from_registry(compressor).compress(held, scheme)
    return compressed, scheme


def decompress(compressor, compressed, scheme):
    return BaseCompressor.get_value_from_registry(compressor).decompress(compressed, scheme)["weight"]
