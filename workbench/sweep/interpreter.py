"""Mends Triton's interpreter where kernels fail their check in it, however right they are.

bfloat16: the interpreter stores it as raw 16-bit integers and then does arithmetic on those; Triton documents that it
does not support it (triton-lang/triton issues 4972 and 11584). Operands are widened to fp32 before an operation and
results rounded back, which is what a GPU does.

Loop bounds known at run time: Triton 3.6 converts arrays of one element to integers as NumPy 2.5 no longer does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

_OPERATIONS = ("binary_op", "unary_op", "create_fma", "create_dot", "cast_impl")


def support_bfloat16() -> None:
    """Patches the interpreter of this process, once; harmless where Triton supports bfloat16 itself."""
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


def support_loop_bounds() -> None:
    """Patches the interpreter of this process, once; harmless where Triton and NumPy get along."""
    from triton.runtime import interpreter

    patch_tensor = interpreter._patch_lang_tensor
    if hasattr(patch_tensor, "__wrapped__"):
        return

    @wraps(patch_tensor)
    def patch(tensor: Any, *scope: Any) -> None:
        patch_tensor(tensor, *scope)
        tensor.__index__ = lambda self: int(self.handle.data.item())

    interpreter._patch_lang_tensor = patch


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

    def is_bf16(operand: Any) -> bool:
        return hasattr(operand, "data") and getattr(operand.dtype, "scalar", None) == tl.bfloat16

    @wraps(operation)
    def in_fp32(builder: Any, *operands: Any) -> Any:
        narrow = [is_bf16(operand) for operand in operands]
        if not any(narrow) or (not rounds and operands[1].scalar == tl.float32):
            return operation(builder, *operands)
        wide = [
            convert(builder, operand, tl.float32) if bf16 else operand
            for operand, bf16 in zip(operands, narrow, strict=True)
        ]
        result = operation(builder, *wide)
        # The result has the type of the accumulator, which is the last tensor among the operands.
        tensors = [bf16 for operand, bf16 in zip(operands, narrow, strict=True) if hasattr(operand, "data")]
        rounded = rounds and tensors[-1] and result.data.dtype == np.float32
        return convert(builder, result, tl.bfloat16) if rounded else result

    return in_fp32
