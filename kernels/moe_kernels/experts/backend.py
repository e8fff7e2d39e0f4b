"""Which of the ways through the experts a call takes, and why.

The crossover from `decode` to `grouped` by token count is a tunable of its own, `experts_backend`: swept like any
other once the two have been, a row a token count, and looked up when a call runs. A row that says `auto`, or no row,
leaves it to a rule: `decode` while there are no more slots (token times expert) than experts, since then an expert has
one token on average and sorting them gains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from triton import knobs

from moe_kernels import tuned
from moe_kernels.dtypes import WORDS
from moe_kernels.experts import problem as experts_problem
from moe_kernels.experts.align import Aligned
from moe_kernels.experts.call import KERNEL_DTYPES, RoutedCall
from moe_kernels.experts.decode import BLOCK_M, EXPERTS_DECODE, DecodeWorkspace, decode_launches
from moe_kernels.experts.grouped import EXPERTS, GroupedWorkspace, grouped_launches, grouped_outputs
from moe_kernels.experts.quantised.problem import QUANTISED_WORDS, rows_of, why_no_format
from moe_kernels.formats import Fp8
from moe_kernels.tunable import Config, KernelLaunch, Parameter, Problem, Tensors, TunableKernel

Backend = Literal["auto", "grouped", "decode", "torch"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
BACKEND_TUNABLES: Mapping[str, TunableKernel] = {"grouped": EXPERTS, "decode": EXPERTS_DECODE}
Device = str | int | torch.device | None
# GPUs before it have no tensor cores for bf16.
LEAST_CAPABILITY = 80
# Triton multiplies FP8 as such by mma.sync from the first on, but not on Hopper and on data-centre Blackwell, where it
# does so by wgmma and tcgen05, from so many rows on; seen with 3.9.
_FP8_CAPABILITY = 89
_ROWS_OF_FP8 = {9: 64, 10: 64}
# Fixed when the kernels were decorated, so read once here too.
_INTERPRETED = bool(knobs.runtime.interpret)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendChoice:
    """What a call runs on.

    Attributes:
        backend: `grouped`, `decode` or `torch`.
        reason: why, in one line.
        impossible: why each backend that cannot take the call cannot.
    """

    backend: str
    reason: str
    impossible: Mapping[str, str]


def explain_backend(
    problem: Problem,
    tokens: int,
    device: Device = None,
    *,
    backend: Backend = "auto",
    activations: str = "bf16",
) -> BackendChoice:
    """Says which backend `fused_experts` runs plain tensors on, and why; it decides by this function itself.

    Args:
        problem: the axes without tokens: num_experts, top_k, hidden_size, intermediate_size, dtype, and of int4 weights
            group_size where they have one.
        tokens: T.
        device: as for `moe_kernels.tuned.lookup`: a slug, a device or its index; None means the current CUDA device.
        backend: as for `fused_experts`.
        activations: the dtype word of hidden states beside quantised weights, otherwise they have the problem's.

    Raises:
        ValueError: there is no such backend, or it cannot take the call.
    """
    check_backend(backend)
    obstacle = why_no_kernel(problem, device, activations)
    impossible = dict.fromkeys(BACKEND_TUNABLES, obstacle) if obstacle else {}
    if backend in impossible:
        raise ValueError(f"backend: {backend} {obstacle}; allowed here: auto, torch")
    if backend != "auto":
        chosen, reason = str(backend), "asked for"
    elif obstacle:
        chosen, reason = "torch", f"a kernel {obstacle}"
    else:
        chosen, reason = _crossover(problem, tokens, device)
        reason += _how_weights_are_read(chosen, problem, tokens, device)
    return BackendChoice(backend=chosen, reason=reason, impossible=impossible)


def explain_call(call: RoutedCall, backend: str) -> BackendChoice:
    """As `explain_backend`, for a call."""
    dtype = call.hidden.dtype
    return explain_backend(
        call.problem,
        call.num_tokens,
        call.hidden.device,
        backend=backend,  # type: ignore[arg-type]
        activations=WORDS.get(dtype, str(dtype).removeprefix("torch.")),
    )


def check_backend(backend: str) -> None:
    """Raises ValueError unless there is such a backend."""
    if backend not in BACKENDS:
        raise ValueError(f"backend: must be one of {', '.join(BACKENDS)}, got {backend!r}")


def why_no_kernel(problem: Problem, device: Device, activations: str) -> str | None:
    """Says why no kernel can take a problem on this device, or None."""
    dtype = str(problem["dtype"])
    is_quantised = dtype in QUANTISED_WORDS
    if not is_quantised and dtype not in KERNEL_DTYPES:
        return f"takes {' or '.join(KERNEL_DTYPES)}, got {dtype}"
    if is_quantised and activations not in KERNEL_DTYPES:
        return f"takes {' or '.join(KERNEL_DTYPES)} beside weights in {dtype}, got {activations}"
    if is_quantised and (reason := why_no_format(problem)):
        return f"takes no such weights: {reason}"
    if is_quantised and (capability := capability_of(device)) and capability < LEAST_CAPABILITY:
        return f"takes weights in {dtype} from sm_{LEAST_CAPABILITY} on, got sm_{capability}"
    if isinstance(device, torch.device) and device.type != "cuda" and not _interprets(device):
        return f"takes CUDA tensors, got {device.type}"
    return None


def capability_of(device: Device) -> int | None:
    """The compute capability of a GPU that is there, major * 10 + minor."""
    if isinstance(device, str) or not torch.cuda.is_available():
        return None
    if isinstance(device, torch.device) and device.type != "cuda":
        return None
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def _how_weights_are_read(backend: str, problem: Problem, tokens: int, device: Device) -> str:
    """How quantised weights are multiplied, as far as the GPU is known."""
    dtype, capability = str(problem["dtype"]), capability_of(device)
    if dtype not in QUANTISED_WORDS:
        return ""
    if dtype != Fp8.dtype_word:
        return f"; {dtype} is widened to the dtype of the activations in registers"
    if capability is None:
        return f"; {dtype} is multiplied on FP8 tensor cores or widened to fp16, by GPU and rows of a block"
    if capability < _FP8_CAPABILITY:
        return f"; {dtype} is widened to fp16 in registers, as sm_{capability} has no FP8 tensor cores"
    rows = int(config_for(backend, problem, tokens, device).get("BLOCK_SIZE_M", BLOCK_M))
    least = _ROWS_OF_FP8.get(capability // 10, 0)
    if rows >= least:
        return f"; {dtype} is multiplied on FP8 tensor cores"
    return f"; {dtype} is widened to fp16 in registers, as blocks have {rows} rows and sm_{capability} needs {least}"


def config_for(backend: str, problem: Problem, tokens: int, device: Device) -> Config:
    """The tuned config of a backend, else its default."""
    kernel = BACKEND_TUNABLES[backend]
    if isinstance(device, torch.device) and device.type != "cuda":
        return kernel.default_config
    return tuned.lookup(kernel, problem, tokens, device)


def _interprets(device: torch.device) -> bool:
    return _INTERPRETED and device.type == "cpu"


def _crossover(problem: Problem, tokens: int, device: Device) -> tuple[str, str]:
    if not (isinstance(device, torch.device) and device.type != "cuda"):
        found = str(tuned.lookup(EXPERTS_BACKEND, problem, tokens, device)["backend"])
        if found != "auto":
            return found, f"the tuned crossover says so for {tokens} tokens"
    return _by_rule(tokens, int(problem["top_k"]), int(problem["num_experts"]))


def _by_rule(tokens: int, top_k: int, num_experts: int) -> tuple[str, str]:
    slots = tokens * top_k
    if slots <= num_experts:
        return "decode", f"no crossover is tuned, and {slots} slots are no more than {num_experts} experts"
    return "grouped", f"no crossover is tuned, and {slots} slots are more than {num_experts} experts"


def _resolve(problem: Problem, config: Config) -> str:
    if config["backend"] != "auto":
        return str(config["backend"])
    return _by_rule(*(int(problem[axis]) for axis in ("tokens", "top_k", "num_experts")))[0]


def launches_of(backend: str, call: RoutedCall, out: Tensor, config: Config) -> tuple[KernelLaunch, ...]:
    """The launches of a call on a backend that has kernels, over a workspace of their own."""
    if backend == "grouped":
        return grouped_launches(call, out, GroupedWorkspace.empty(call, config), config)
    return decode_launches(call, out, DecodeWorkspace.empty(call, config), config)


def _launches(
    inputs: Tensors, outputs: Tensors, problem: Problem, config: Config
) -> tuple[KernelLaunch, ...]:
    """A backend with its own config, as a call on the inputs' device takes it."""
    call, backend = experts_problem.call_of(inputs, problem), _resolve(problem, config)
    own = config_for(backend, call.problem, call.num_tokens, call.hidden.device)
    inner, scratch = outputs["inner"], outputs["scratch"]
    if backend == "decode":
        partials = scratch[: call.num_slots * call.hidden_size].view(call.num_slots, -1)
        return decode_launches(call, outputs["out"], DecodeWorkspace(inner, partials, rows_of(outputs)), own)
    aligned = Aligned(*(outputs[name] for name in Aligned._fields))
    workspace = GroupedWorkspace(aligned, inner, scratch, rows_of(outputs))
    return grouped_launches(call, outputs["out"], workspace, own)


def _runs(problem: Problem, config: Config, device: str) -> tuple[str, Config]:
    """The backend's kernel and the config that a call on the device takes."""
    backend, tokens = _resolve(problem, config), int(problem["tokens"])
    shared = {axis: value for axis, value in problem.items() if axis != "tokens"}
    return BACKEND_TUNABLES[backend].name, config_for(backend, shared, tokens, device)


def _kernels_of(problem: Problem) -> tuple[Any, ...]:
    return tuple(
        dict.fromkeys(each for kernel in (EXPERTS, EXPERTS_DECODE) for each in kernel.of(problem).kernels)
    )


def _reject(problem: Problem, config: Config) -> str | None:
    return experts_problem.why_no_problem(problem)


EXPERTS_BACKEND = TunableKernel(
    name="experts_backend",
    axes=experts_problem.AXES,
    parameters=(Parameter("backend", "auto", kind="categorical", choices=("auto", *BACKEND_TUNABLES)),),
    kernels=tuple(dict.fromkeys((*EXPERTS.kernels, *EXPERTS_DECODE.kernels))),
    kernels_of=_kernels_of,
    make_inputs=experts_problem.make_inputs,
    routed_inputs=experts_problem.routed_inputs,
    make_outputs=grouped_outputs,
    launches=_launches,
    reference=experts_problem.reference,
    traffic=experts_problem.traffic,
    produced=experts_problem.PRODUCED,
    compare=experts_problem.compare,
    reject=_reject,
    runs=_runs,
)
