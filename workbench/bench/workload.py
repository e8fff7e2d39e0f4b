"""The workload file: how long prompts and answers are, how many run at once, and which arms are compared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from workbench.base.errors import InputError
from workbench.base.text import KeyPath, brief, suggestion
from workbench.base.validation import validate
from workbench.base.yaml import YamlSource, read_yaml

# What may stand for the routing and the experts of our decode model, the baseline first.
ArmName = Literal["split", "fused", "tuned"]
ARMS: tuple[str, ...] = get_args(ArmName)
# Positions that Gemma 4 26B-A4B was trained for (`max_position_embeddings` of its config).
CACHE_TOKENS = 262_144
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _listed(value: Any) -> Any:
    if isinstance(value, int | str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


Count = Annotated[int, Field(ge=1)]


# One value may stand for a list of one, in the file and so in its JSON Schema.
Counts = Annotated[tuple[Count, ...], BeforeValidator(_listed, json_schema_input_type=Count | list[Count])]
ArmNames = Annotated[
    tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=ArmName | list[ArmName])
]


class DecodeWorkload(BaseModel):
    """A decode workload: how long prompts and answers are, how many run at once, and which arms are compared."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: str = Field(
        description="A plain word; results are named after it.",
        json_schema_extra={"pattern": f"^({_NAME.pattern})$"},
    )
    input_tokens: Count = Field(description="Prompt length of every request.")
    output_tokens: int = Field(
        ge=2,
        description="Tokens that every request is answered with; at least 2, as TPOT leaves out the first.",
    )
    concurrency: Counts = Field(
        default=(1,), description="Requests that run at once (the batch), each value a load of its own."
    )
    arms: ArmNames = Field(default=ARMS, description="What is compared; the first is the baseline.")
    draft_tokens: int = Field(
        default=0, ge=0, le=64, description="Tokens drafted a step by the assistant; 0 decodes without one."
    )
    repeats: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="How often each arm runs each load, interleaved with the others.",
    )
    warm_up: int = Field(
        default=1, ge=0, le=100, description="Runs of each arm before those, which are not counted."
    )
    cache_tokens: Count = Field(
        default=CACHE_TOKENS, description="The most tokens of a sequence that the KV cache holds."
    )
    timeout_s: float = Field(default=600.0, gt=0, description="Seconds after which a run is given up.")
    seed: int = Field(default=0, ge=0, lt=1 << 32, description="Of the prompts and of the order of arms.")

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            allowed = "1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit; it is no path"
            raise ValueError(f"{brief(name, 60)!r} is no name; allowed: {allowed}")
        return name

    @property
    def sequence_tokens(self) -> int:
        """Tokens that the cache must hold for one request: prompt, answer, and what is drafted ahead of it."""
        return self.input_tokens + self.output_tokens + self.draft_tokens


@dataclass(frozen=True, slots=True)
class LoadedWorkload:
    """A workload file that has been read."""

    workload: DecodeWorkload
    source: YamlSource

    def override(self, **values: Any) -> LoadedWorkload:
        """The same file with other values for some keys; None leaves a key as it is.

        Raises:
            InputError: names the option, and says what is allowed.
        """
        given = {key: value for key, value in values.items() if value is not None}
        merged = {**self.source.data, **given}
        source = YamlSource(self.source.file, merged, self.source.lines)
        try:
            return _checked(validate(DecodeWorkload, source), source) if given else self
        except InputError as error:
            key = (error.key or "").partition("[")[0]
            # What an option says is on no line of the file.
            raise InputError(error.message, key=f"--{key}") if key in given else error from None

    def check_fits(self, positions: int, model: str) -> None:
        """Checks that a model has positions for every token of a request.

        Raises:
            InputError: it has not; names the key.
        """
        if (needed := self.workload.sequence_tokens) > positions:
            parts = f"input_tokens + output_tokens + draft_tokens = {needed}"
            held = f"{model} holds {positions} tokens of a sequence"
            raise self.source.error(
                f"{parts} tokens of a request, but the cache of {held}", ("input_tokens",)
            )


def load_workload(path: str | Path) -> LoadedWorkload:
    """Reads a workload file.

    Raises:
        InputError: names file, line and key, and says what is allowed.
    """
    source = read_yaml(Path(path))
    return _checked(validate(DecodeWorkload, source), source)


def _checked(workload: DecodeWorkload, source: YamlSource) -> LoadedWorkload:
    _check_list(source, workload.concurrency, "concurrency")
    _check_list(source, workload.arms, "arms")
    _check_arms(source, workload)
    _check_cache(source, workload)
    return LoadedWorkload(workload, source)


def _check_list(source: YamlSource, values: tuple[Any, ...], key: str) -> None:
    if not values:
        raise source.error("is empty; at least one value is needed", (key,))
    for index, value in enumerate(values):
        if value in values[:index]:
            raise source.error(f"{value!r} is listed twice", _place(source, key, index))


def _check_arms(source: YamlSource, workload: DecodeWorkload) -> None:
    for index, arm in enumerate(workload.arms):
        if arm not in ARMS:
            allowed = f"{suggestion(arm, ARMS)}; allowed: {', '.join(ARMS)}"
            raise source.error(f"unknown arm {brief(arm, 60)!r}{allowed}", _place(source, "arms", index))


def _check_cache(source: YamlSource, workload: DecodeWorkload) -> None:
    needed, held = workload.sequence_tokens, workload.cache_tokens
    if needed > held:
        parts = f"input_tokens + output_tokens + draft_tokens = {needed}"
        raise _cache_error(source, f"{parts} tokens of a request, but the cache holds {held} (cache_tokens)")


def _cache_error(source: YamlSource, message: str) -> InputError:
    key = "cache_tokens" if "cache_tokens" in source.data else "input_tokens"
    return source.error(message, (key,))


def _place(source: YamlSource, key: str, index: int) -> KeyPath:
    """The place of an item, or of the key where one value stands for a list of one."""
    return (key, index) if (key, index) in source.lines else (key,)
