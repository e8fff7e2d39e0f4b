"""The kernels of Gemma 4's decode steps on a CUDA GPU, in order: a graph's replay has no ops, so these are all it has.

The names are those in the CUDA libraries of torch 2.11 and cuBLAS 13, demangled and mangled. The order is that of the
operations that the model calls on bf16 tensors of device type `cuda`, with the kernels that each of them launches.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

_NAMES = json.loads(Path(__file__).with_name("data").joinpath("torch_2_11_kernels.json").read_text())
# cuBLAS puts this one's name together at run time.
_NVJET = "nvjet_sm90_tst_64x8_64x16_4x1_v_bz_splitK_TNT"

# What each of split routing's operations launches. torch.softmax widens bf16 by an operation of its own.
OF_OPS = {
    "aten.topk": ("top_k", "sort"),
    "aten._to_copy float32": ("widen",),
    "aten._softmax": ("softmax",),
    "aten.index": ("gather",),
    "aten.mul": ("scale_weights",),
    "aten._to_copy int32": ("narrow",),
}
ROUTING = {
    "split": tuple(kernel for kernels in OF_OPS.values() for kernel in kernels),
    "split, one token": (
        "top_k_one_token",
        "sort_one_token",
        "widen",
        "softmax",
        "gather",
        "scale_weights",
        "narrow",
    ),
    "split, fp32 logits": ("top_k_fp32", "sort_fp32", "softmax", "gather", "scale_weights", "narrow"),
    "fused": ("routing_kernel",),
}
# Which of them are routing: the grouped kernels' sorting of slots by expert is the rest of it.
EXPERTS = {
    "decode": ("expert_matmul_kernel", "expert_matmul_kernel", "sum_kernel"),
    "decode, by token": ("expert_matmul_kernel", "token_down_kernel"),
    "grouped": (
        "align_kernel",
        "grouped_matmul_kernel",
        "activation_kernel",
        "grouped_matmul_kernel",
        "sum_kernel",
    ),
    "decode, quantised": (
        "quantise_rows_kernel",
        "quantised_expert_kernel",
        "quantise_groups_kernel",
        "quantised_token_kernel",
    ),
    "grouped, quantised": ("quantised_grouped_kernel", "quantised_grouped_kernel", "sum_kernel"),
}
ATTENTION = {"kernel": ("attention",), "math": ("gemv", "attention_softmax", "gemv")}
CLASSES = {
    "norm": "norm",
    "mul": "elementwise",
    "mul_broadcast": "elementwise",
    "mul_scalar": "elementwise",
    "add": "elementwise",
    "addcmul": "elementwise",
    "roll": "elementwise",
    "store": "copy",
    "embed": "elementwise",
    "masked_fill": "elementwise",
    "cat": "copy",
    "gelu": "activation",
    "tanh": "activation",
    "gemv": "gemm",
    "nvjet": "gemm",
    "split_k_reduce": "gemm",
    "attention": "attention",
    "attention_softmax": "reduction",
    "arg_max": "sampling",
    "product_of_agreed": "reduction",
    "align_kernel": "routing",
    "activation_kernel": "activation",
}


@dataclass(frozen=True, slots=True)
class DecodeStep:
    """A step of the model.

    Attributes:
        routing: a key of `ROUTING`.
        experts: a key of `EXPERTS`.
        attention: a key of `ATTENTION`.
        verifies: checks a draft at its end.
    """

    routing: str
    experts: str = "decode"
    attention: str = "kernel"
    layers: int = 30
    verifies: bool = False

    @property
    def kernels(self) -> tuple[str, ...]:
        """Keys of all kernels in order."""
        prepare = ("gather", "masked_fill", "gather", "masked_fill")
        head = ("norm", "nvjet", "mul_scalar", "tanh", "mul_scalar", "arg_max")
        check = ("product_of_agreed", "mul", "gather") if self.verifies else ()
        layers = (kernel for layer in range(self.layers) for kernel in self._layer(layer))
        return (*prepare, "embed", "mul_scalar", *layers, *head, *check)

    @property
    def classes(self) -> list[str]:
        """The class of each kernel."""
        return [self._class_of(kernel, place) for place, kernel in enumerate(self.kernels)]

    @property
    def routing_launches(self) -> int:
        """How many kernels are routing."""
        return self.classes.count("routing")

    def _layer(self, layer: int) -> tuple[str, ...]:
        # Full layers, every sixth, take the projected keys for values, too.
        projections = ("gemv",) * (2 if layer % 6 == 5 else 3)
        rotate = ("cat", "mul_broadcast", "roll", "addcmul")
        attend = ("norm", "norm", *rotate, "norm", "store", "store", *ATTENTION[self.attention])
        dense = ("norm", "nvjet", "split_k_reduce", "gelu", "nvjet", "mul", "nvjet", "split_k_reduce")
        widen = ("widen", "widen") if "fp32" in self.routing else ()
        router = ("norm", "mul", "mul_scalar", *widen, "gemv", *ROUTING[self.routing])
        end = ("norm", "norm", "add", "norm", "add", "mul")
        return (
            *("norm", *projections, *attend, "gemv", "norm", "add"),
            *dense,
            *router,
            "norm",
            *EXPERTS[self.experts],
            *end,
        )

    def _class_of(self, kernel: str, place: int) -> str:
        if self._is_routed(place):
            return "routing"
        if kernel in CLASSES:
            return CLASSES[kernel]
        return {"gather": "elementwise", "widen": "copy"}.get(kernel, "experts")

    def _is_routed(self, place: int) -> bool:
        """Whether the kernel at a place is within a layer's routing, which begins after the router's product."""
        routing, kernels = ROUTING[self.routing], self.kernels
        firsts = range(max(0, place - len(routing) + 1), place + 1)
        return any(kernels[first : first + len(routing)] == routing for first in firsts)


def whole(kernel: str) -> str:
    """The name as torch.profiler gives it."""
    return _NVJET if kernel == "nvjet" else _NAMES.get(kernel, [kernel])[0]


def mangled(kernel: str) -> str:
    """The name as it is in the library."""
    return _NVJET if kernel == "nvjet" else _NAMES.get(kernel, [kernel])[-1]


def bare(kernel: str) -> str:
    """The function's own name, as some exporters cut it."""
    name = whole(kernel).removeprefix("void ").replace("(anonymous namespace)::", "")
    return name.split("(")[0].split("<")[0].split("::")[-1]
