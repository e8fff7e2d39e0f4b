"""Whether an engine reads a table at all: only its Triton backend does, and it may choose another.

vLLM 0.33.0: `oracle/unquantized.py`, `oracle/fp8.py`, `oracle/int_wna16.py` and what the backends' classes say they
support; SGLang 0.5.23: `moe_runner_backend` auto and `arg_groups/model_overrides/gemma4.py`. For Gemma 4 (gated
gelu_tanh), one GPU or tensor parallelism, without LoRA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Answer = Literal["yes", "no", "unless", "unknown"]

_ALWAYS_TRITON = "start vLLM with --moe-backend triton"
HOPPER = 9
BLACKWELL_SERVER, BLACKWELL_DESKTOP = 10, 12


@dataclass(frozen=True, slots=True)
class TableUse:
    """Whether a table is read.

    Attributes:
        answer: `yes`, `no`, `unless` (it depends on what `why` says) or `unknown`.
        backend: what the engine chooses for itself.
        why: in one line.
        remedy: how to make it read the table, where there is a way.
    """

    answer: Answer
    backend: str
    why: str
    remedy: str = ""


def table_use(engine: str, dtype: str, compute_capability: int | None, tokens: int) -> TableUse:
    """Says whether an engine reads its table for Gemma 4's experts on a GPU.

    Args:
        engine: `vllm` or `sglang`.
        dtype: in our words.
        compute_capability: major * 10 + minor; None where the GPU is not known.
        tokens: in the batch.
    """
    rule = _RULES.get((engine, dtype))
    if rule is None:
        return TableUse("no", "another", f"there is no table for {dtype}")
    if compute_capability is None:
        return TableUse("unknown", "unknown", "the choice of backend depends on the GPU, which is not known")
    return rule(compute_capability, tokens)


def _vllm_dense(capability: int, tokens: int) -> TableUse:
    if capability // 10 == HOPPER:
        return TableUse("yes", "TRITON", "on Hopper vLLM prefers Triton for unquantised experts")
    if capability // 10 in (BLACKWELL_SERVER, BLACKWELL_DESKTOP):
        return TableUse(
            "unless",
            "FlashInfer CUTLASS",
            "not where FlashInfer works, which vLLM requires: its CUTLASS backend takes gelu_tanh and comes before "
            "Triton here",
            _ALWAYS_TRITON,
        )
    return TableUse("yes", "TRITON", "FlashInfer's backends do not take this GPU")


def _vllm_fp8(capability: int, tokens: int) -> TableUse:
    if capability // 10 < HOPPER:
        return TableUse("yes", "TRITON", "vLLM's CUTLASS grouped GEMM needs a newer GPU")
    if capability // 10 == BLACKWELL_DESKTOP:
        why = "not where the build's CUTLASS grouped GEMM takes this GPU; it comes before Triton"
        return TableUse("unless", "TRITON", why, _ALWAYS_TRITON)
    if capability // 10 == BLACKWELL_SERVER and tokens <= 8:
        return TableUse("yes", "VLLM_CUTLASS", "on this GPU it leaves batches of at most 8 tokens to Triton")
    return TableUse(
        "no",
        "VLLM_CUTLASS",
        "for weights with a scale a channel and dynamic tokens it comes before Triton",
        _ALWAYS_TRITON,
    )


def _vllm_int4(capability: int, tokens: int) -> TableUse:
    return TableUse("no", "MARLIN", "for four-bit weights Marlin comes before Triton", _ALWAYS_TRITON)


def _sglang_triton(capability: int, tokens: int) -> TableUse:
    return TableUse("yes", "triton", "moe_runner_backend auto is Triton for Gemma 4 in this format")


def _sglang_fp8(capability: int, tokens: int) -> TableUse:
    return TableUse(
        "unless",
        "triton",
        "not where SGLang chooses DeepGEMM or another runner for the checkpoint's kind of scales",
        "start SGLang with --moe-runner-backend triton",
    )


def _sglang_int4(capability: int, tokens: int) -> TableUse:
    return TableUse("no", "marlin", "four-bit weights (AWQ, GPTQ) go to Marlin")


_RULES: Mapping[tuple[str, str], Callable[[int, int], TableUse]] = {
    ("vllm", "bf16"): _vllm_dense,
    ("vllm", "fp16"): _vllm_dense,
    ("vllm", "fp32"): _vllm_dense,
    ("vllm", "fp8_w8a8"): _vllm_fp8,
    ("vllm", "int4_w4a16"): _vllm_int4,
    ("sglang", "bf16"): _sglang_triton,
    ("sglang", "fp16"): _sglang_triton,
    ("sglang", "fp32"): _sglang_triton,
    ("sglang", "fp8_w8a8"): _sglang_fp8,
    ("sglang", "int4_w4a16"): _sglang_int4,
}
