"""How a kernel describes itself, so that it can be swept, verified, compiled elsewhere, timed and looked up.

One `TunableKernel` beside each kernel serves the sweep, the tests, the benchmarks and the run-time lookup. Your own
kernel needs nothing more than an importable module that holds one (see docs/own-kernel.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

    from moe_kernels.routing_distribution import RoutingDistribution

Value = int | float | str
Config = Mapping[str, Value]
Problem = Mapping[str, int | str]
Tensors = Mapping[str, "torch.Tensor"]

# The dtypes of tensors that are not quantised, in the engines' words; as torch's in `moe_kernels.dtypes`.
DTYPE_WORDS = ("bf16", "fp16", "fp32")

# Launch options: they change the machine code, never what a kernel computes.
LAUNCH_OPTIONS = frozenset({"num_warps", "num_stages", "num_ctas", "maxnreg"})


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a problem.

    Attributes:
        name: the axis as sweep files and results spell it, for example `num_experts`.
        short: its short name in the results' file names, for example `E`.
        kind: `count` for positive integers, `dtype` for one of the engines' dtype words.
        ladder: True for the one axis (tokens) whose values are rows of one results file and are not in its name.
        of_dtypes: the dtype words of the problems that may have the axis; empty where every problem has it.
        words: of a dtype axis, the words that the kernel knows.
    """

    name: str
    short: str
    kind: Literal["count", "dtype"] = "count"
    ladder: bool = False
    of_dtypes: tuple[str, ...] = ()
    words: tuple[str, ...] = DTYPE_WORDS


@dataclass(frozen=True, slots=True)
class Parameter:
    """One config parameter.

    Attributes:
        name: as sweep files and results spell it.
        default: the value of a config that does not name it; its type is the parameter's type.
        kind: `numeric` (ordered), `binary` (0 or 1) or `categorical`; what a search may assume of it.
        choices: the values that the kernel can take, where that is a closed set.
        of_dtypes: the dtype words of the problems whose configs may have it, at its default where they do not; empty
            where every config has it.
    """

    name: str
    default: Value
    kind: Literal["numeric", "binary", "categorical"] = "numeric"
    choices: tuple[Value, ...] | None = None
    of_dtypes: tuple[str, ...] = ()

    def reject(self, value: Value) -> str | None:
        """Says why the kernel cannot take `value`, or None where it can."""
        if self.choices is None or value in self.choices:
            return None
        return f"{self.name}={value!r} is not one of {', '.join(map(str, self.choices))}"


@dataclass(frozen=True, slots=True)
class KernelLaunch:
    """One launch of one Triton kernel, with everything that decides its machine code.

    Attributes:
        kernel: the `@triton.jit` function.
        grid: programs along each axis, three positive integers.
        arguments: the kernel's run-time arguments by name: tensors and numbers.
        constexprs: its `tl.constexpr` arguments by name.
        options: `num_warps`, `num_stages`, `enable_fp_fusion` and the like.
        data_trips: how often a loop runs whose end the data decide, to be expected as a mean over all programs; None
            where the kernel has no such loop or nothing is known of it, which leaves its time on other GPUs unknown.
    """

    kernel: Any
    grid: tuple[int, int, int]
    arguments: Mapping[str, Any]
    constexprs: Mapping[str, Any]
    options: Mapping[str, Any]
    data_trips: float | None = field(default=None, kw_only=True)

    def run(self) -> None:
        """Launches the kernel on the current stream (or in Triton's interpreter)."""
        self.kernel[self.grid](**self.arguments, **self.constexprs, **self.options)

    def compile(self) -> Any:
        """Compiles for Triton's active target without launching; tensors may be on the meta device.

        Returns:
            Triton's compiled kernel, with `asm` and `metadata`.
        """
        return self.kernel.warmup(grid=self.grid, **self.arguments, **self.constexprs, **self.options)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one call has to move and compute, for the roofline: compulsory bytes and floating-point operations."""

    bytes_read: int
    bytes_written: int
    flops: int


def _accepts_all(problem: Problem, config: Config) -> str | None:
    return None


def _accepts_everywhere(problem: Problem, config: Config, compute_capability: int) -> str | None:
    return None


def compare_close(actual: Tensors, expected: Tensors, problem: Problem) -> str | None:
    """The default comparison: every output equal to the reference within torch's tolerance for its dtype."""
    import torch

    for name, reference in expected.items():
        try:
            torch.testing.assert_close(actual[name], reference, equal_nan=True)
        except AssertionError as error:
            return f"{name}: {' '.join(str(error).split())}"
    return None


def _has(axis: Axis, problem: Problem) -> bool:
    return axis.name in problem and problem.get("dtype") in axis.of_dtypes


@dataclass(frozen=True, kw_only=True)
class TunableKernel:
    """A kernel with its problem axes, its config parameters, and all that a sweep needs to run and judge it.

    Attributes:
        name: what results are filed under; letters, digits, `_` and `-`.
        axes: the problem's axes in the order of the results' file name, one of them the ladder.
        parameters: the config's parameters with their defaults.
        kernels: the jit functions; their source (and that of jit functions they call) is the winners' source hash.
        kernels_of: `problem -> jit functions` where problems run different ones, so that a change of one leaves the
            winners of others valid; None where all run `kernels`.
        make_inputs: `(problem, device) -> tensors`, drawn from torch's global generator, which the caller seeds;
            must also work on the `meta` device, where tensors have no data.
        make_outputs: `(problem, device) -> tensors`, uninitialised; the caller poisons them before a check.
        launches: `(inputs, outputs, problem, config) -> launches`, the kernel launches of one call in order; called
            with meta tensors to compile for a GPU that is not there.
        reference: `(inputs, problem) -> tensors`, the expected outputs, by plain torch operations.
        traffic: `problem -> Traffic`.
        produced: names of inputs that the previous kernel has just written (hot in cache in real use); every other
            input is streamed (cold), and measuring rotates it over more memory than the L2 cache holds.
        compare: `(actual, expected, problem) -> None`, or what is wrong in one line.
        reject: `(problem, config) -> None`, or why the kernel cannot take this config.
        reject_on: `(problem, config, compute capability) -> None`, or why it cannot take it on such a GPU.
        routed_inputs: `(problem, device, distribution) -> tensors`, as `make_inputs` but with tokens spread over
            experts as the distribution says; None for a kernel to which no routing matters.
        exchanged: values of the parameters that engines' tables do not have, under which tables are exchanged; the best
            such config is kept beside a winner that has others.
        runs: `(problem, config, device slug) -> (kernel's name, config)`, where configs stand for configs of other
            kernels that ship here: what is launched on that GPU, and so what is compiled and verified for it; None
            for a kernel that runs itself.
        interpreter_problem: `(problem, config) -> problem`, a small problem with the same block remainders (at most
            8 programs), for Triton's interpreter; None shortens the ladder only.
    """

    name: str
    axes: tuple[Axis, ...]
    parameters: tuple[Parameter, ...]
    kernels: tuple[Any, ...]
    make_inputs: Callable[[Problem, torch.device], Tensors]
    make_outputs: Callable[[Problem, torch.device], Tensors]
    launches: Callable[[Tensors, Tensors, Problem, Config], Sequence[KernelLaunch]]
    reference: Callable[[Tensors, Problem], Tensors]
    traffic: Callable[[Problem], Traffic]
    produced: frozenset[str] = frozenset()
    compare: Callable[[Tensors, Tensors, Problem], str | None] = compare_close
    kernels_of: Callable[[Problem], tuple[Any, ...]] | None = None
    reject: Callable[[Problem, Config], str | None] = _accepts_all
    reject_on: Callable[[Problem, Config, int], str | None] = _accepts_everywhere
    routed_inputs: Callable[[Problem, torch.device, RoutingDistribution], Tensors] | None = None
    exchanged: Mapping[str, Value] = field(default_factory=dict)
    runs: Callable[[Problem, Config, str], tuple[str, Config]] | None = None
    interpreter_problem: Callable[[Problem, Config], Problem] | None = None

    def __post_init__(self) -> None:
        if [axis.ladder for axis in self.axes].count(True) != 1:
            raise ValueError(f"axes: kernel {self.name!r} needs exactly one axis with ladder=True")

    @property
    def ladder(self) -> Axis:
        """The axis whose values are the rows of a results file."""
        return next(axis for axis in self.axes if axis.ladder)

    @property
    def default_config(self) -> dict[str, Value]:
        """Every parameter that all configs have at its default."""
        return {each.name: each.default for each in self.parameters if not each.of_dtypes}

    def of(self, problem: Problem) -> TunableKernel:
        """The kernel as problems like this one see it: with the axes, parameters and jit functions that they have."""
        dtype = problem.get("dtype")
        axes = (each for each in self.axes if not each.of_dtypes or _has(each, problem))
        parameters = (each for each in self.parameters if not each.of_dtypes or dtype in each.of_dtypes)
        return replace(
            self,
            axes=tuple(replace(each, of_dtypes=()) for each in axes),
            parameters=tuple(replace(each, of_dtypes=()) for each in parameters),
            kernels=self.kernels if self.kernels_of is None else self.kernels_of(problem),
            kernels_of=None,
        )

    def complete(self, config: Config | None) -> dict[str, Value]:
        """Fills missing parameters from the default.

        Raises:
            ValueError: names a parameter that the kernel does not have, or a value of the wrong type.
        """
        complete = self.default_config
        defaults = {parameter.name: parameter.default for parameter in self.parameters}
        for name, value in (config or {}).items():
            if name not in defaults:
                raise ValueError(
                    f"config: {name!r} is no parameter of {self.name}; it has {', '.join(defaults)}"
                )
            if type(value) is not type(defaults[name]):
                expected = type(defaults[name]).__name__
                raise ValueError(f"config: {name} must be {expected}, got {value!r}")
            complete[name] = value
        return complete

    def under(self, distribution: RoutingDistribution) -> TunableKernel:
        """The same kernel with inputs drawn from a routing distribution.

        Raises:
            ValueError: no routing matters to this kernel, so that only the uniform one is taken.
        """
        routed_inputs = self.routed_inputs
        if distribution.kind == "uniform":
            return self
        if routed_inputs is None:
            raise ValueError(f"routing: {self.name} has no routed inputs, so only uniform is allowed")
        return replace(self, make_inputs=lambda problem, device: routed_inputs(problem, device, distribution))

    def encode(self, config: Config) -> list[int]:
        """A complete config as integers in the parameters' order, since torch's operators take no mappings."""
        values = ((each, config.get(each.name, each.default)) for each in self.parameters)
        return [int(value) if p.choices is None else p.choices.index(value) for p, value in values]

    def decode(self, encoded: Sequence[int]) -> dict[str, Value]:
        """The config that `encode` gave these integers for."""
        numbers = zip(self.parameters, encoded, strict=True)
        return {p.name: number if p.choices is None else p.choices[number] for p, number in numbers}

    def is_exchanged(self, config: Config) -> bool:
        """True for a config that an engine's table can hold."""
        return all(config[name] == value for name, value in self.exchanged.items())

    def why_rejected(self, problem: Problem, config: Config) -> str | None:
        """Says why the kernel cannot take `config` on `problem`, or None where it can."""
        for parameter in self.parameters:
            if reason := parameter.reject(config.get(parameter.name, parameter.default)):
                return reason
        return self.reject(problem, config)

    def file_stem(self, problem: Problem) -> str:
        """The results' file name without suffix, for example `E=128,K=8,dtype=bf16`; the ladder is left out."""
        named = (each for each in self.axes if not each.of_dtypes or each.name in problem)
        return ",".join(f"{axis.short}={problem[axis.name]}" for axis in named if not axis.ladder)
