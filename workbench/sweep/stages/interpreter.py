"""Verifies configs in Triton's interpreter, mended where kernels fail their check in it, however right they are.

bfloat16: the interpreter stores it as raw 16-bit integers and then does arithmetic on those; Triton documents that it
does not support it (triton-lang/triton issues 4972 and 11584). Operands are widened to fp32 before an operation and
results rounded back, which is what a GPU does. Its own widening loses subnormal numbers, which a GPU keeps.

Scaled products: the interpreter reads every scale as a power of two (e8m0), those of NVFP4 (e4m3) too.

Loop bounds known at run time: Triton 3.6 converts arrays of one element to integers as NumPy 2.5 no longer does.

Time: the interpreter patches Triton's language at every call of a function within a kernel, builds a table of types for
every value, and reduces one element after the other by what it doesn't know, the exclusive or of a sort among them.
These took two thirds of the time that a routing kernel's check takes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from moe_kernels.tunable import Config, Problem

_OPERATIONS = ("binary_op", "unary_op", "create_fma", "create_dot", "cast_impl")


def verify_interpreted(reference: str, problem: Problem, config: Config, seeds: int) -> str | None:
    """Verifies a config in Triton's interpreter; runs in a worker whose environment turns it on."""
    import numpy as np

    from workbench.sweep.kernels import load_kernel
    from workbench.sweep.stages.verify import verify

    mend_interpreter()
    # Interpreted masked lanes compute on whatever they hold, which numpy remarks on.
    with np.errstate(all="ignore"):
        return verify(load_kernel(reference), problem, config, seeds=range(seeds), device="cpu")


def mend_interpreter() -> None:
    """Patches the interpreter of this process, once, and only what this version of Triton leaves to be mended."""
    _support_bfloat16()
    _support_loop_bounds()
    _support_e4m3_scales()
    _patch_language_once_a_launch()
    _find_types_once()
    _reduce_by_xor_at_once()


def _support_bfloat16() -> None:
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder

    if not hasattr(InterpreterBuilder, "get_bf16"):
        # Triton 3.6 has constants of every type but this one.
        InterpreterBuilder.get_bf16 = lambda self, value: self.cast_impl(self.get_fp32(value), tl.bfloat16)
    for name in _OPERATIONS:
        operation = getattr(InterpreterBuilder, name)
        if not hasattr(operation, "__wrapped__"):
            convert = InterpreterBuilder.cast_impl
            setattr(InterpreterBuilder, name, _in_fp32(operation, convert, rounds=name != "cast_impl"))


def _support_loop_bounds() -> None:
    from triton.runtime import interpreter

    patch_tensor = interpreter._patch_lang_tensor
    if hasattr(patch_tensor, "__wrapped__"):
        return

    @wraps(patch_tensor)
    def patch(tensor: Any, *scope: Any) -> None:
        patch_tensor(tensor, *scope)
        tensor.__index__ = lambda self: int(self.handle.data.item())

    interpreter._patch_lang_tensor = patch


def _support_e4m3_scales() -> None:
    import numpy as np
    import triton.language as tl
    from triton.runtime import interpreter

    read = getattr(interpreter, "_dot_scaled_scale_to_f32", None)
    if read is None or hasattr(read, "__wrapped__"):
        return
    codes = np.arange(128)
    # Subnormal numbers have the exponent of the smallest normal ones, and no leading 1.
    mantissas = (codes % 8 + 8 * (codes >= 8)) / 8
    values = mantissas * 2.0 ** (np.maximum(codes // 8, 1) - 7)

    @wraps(read)
    def read_e4m3(scale: Any, compute_type: Any) -> Any:
        if scale.dtype != tl.float8e4nv:
            return read(scale, compute_type)
        bits = scale.data.view(np.uint8)
        return np.where(bits < 128, values[bits & 127], -values[bits & 127]).astype(np.float32)

    interpreter._dot_scaled_scale_to_f32 = read_e4m3


def _patch_language_once_a_launch() -> None:
    import triton.language as tl
    from triton.runtime import interpreter

    patch_language = interpreter._patch_lang
    if hasattr(patch_language, "__wrapped__"):
        return

    def is_patched(module: Any) -> bool:
        return bool(module.range.__module__ == interpreter.__name__)

    @wraps(patch_language)
    def patch(function: Any) -> Any:
        modules = [each for each in function.__globals__.values() if each is tl or each is tl.core]
        # A launch restores this, and may leave modules patched that only functions within its kernel see.
        in_launch = tl.core.reduce.__module__ == interpreter.__name__
        if in_launch and all(map(is_patched, modules)):
            return None
        return patch_language(function)

    interpreter._patch_lang = patch


def _find_types_once() -> None:
    from triton.runtime import interpreter

    find = interpreter._get_np_dtype
    if hasattr(find, "__wrapped__"):
        return
    find_scalar = cache(find)

    @wraps(find)
    def find_once(data_type: Any) -> Any:
        scalar = data_type.scalar
        # Pointers have no hash.
        return find(scalar) if scalar.is_ptr() else find_scalar(scalar)

    interpreter._get_np_dtype = find_once


def _reduce_by_xor_at_once() -> None:
    import numpy as np
    from triton.language import standard
    from triton.runtime.interpreter import ReduceOps

    reduce = ReduceOps.generic_reduce
    if hasattr(reduce, "__wrapped__"):
        return

    @wraps(reduce)
    def reduce_at_once(self: Any, values: Any) -> Any:
        if self.combine_fn is not standard._xor_combine:
            return reduce(self, values)
        (value,) = values
        combined = np.bitwise_xor.reduce(value.handle.data, axis=self.axis, keepdims=self.keep_dims)
        return [self.to_tensor(combined, value.dtype)]

    ReduceOps.generic_reduce = reduce_at_once


def _in_fp32(
    operation: Callable[..., Any], convert: Callable[..., Any], *, rounds: bool
) -> Callable[..., Any]:
    """The operation with bf16 operands widened, and its result rounded where the last operand was bf16.

    Args:
        operation: a method of the interpreter's builder.
        convert: its conversion between bf16 and fp32, unpatched.
        rounds: False for a conversion, whose result has the type that was asked for.
    """
    import numpy as np
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle

    def widen(operand: Any) -> Any:
        bits = operand.data.view(np.uint16).astype(np.uint32) << 16
        return TensorHandle(bits.view(np.float32), tl.float32)

    def is_bf16(operand: Any) -> bool:
        return hasattr(operand, "data") and getattr(operand.dtype, "scalar", None) == tl.bfloat16

    @wraps(operation)
    def in_fp32(builder: Any, *operands: Any) -> Any:
        narrow = [is_bf16(operand) for operand in operands]
        if not any(narrow):
            return operation(builder, *operands)
        wide = [widen(operand) if bf16 else operand for operand, bf16 in zip(operands, narrow, strict=True)]
        if not rounds and operands[1].scalar == tl.float32:
            return wide[0]
        result = operation(builder, *wide)
        # The result has the type of the accumulator, which is the last tensor among the operands.
        tensors = [bf16 for operand, bf16 in zip(operands, narrow, strict=True) if hasattr(operand, "data")]
        rounded = rounds and tensors[-1] and result.data.dtype == np.float32
        return convert(builder, result, tl.bfloat16) if rounded else result

    return in_fp32
