"""Runs suites on arms."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.base.errors import InputError
from workbench.bench.harness.library import import_harness, sandboxed_templates
from workbench.bench.harness.mmlu import mmlu_tasks
from workbench.bench.harness.scores import SuiteScore, score_suites
from workbench.bench.harness.tasks import check_folder
from workbench.bench.text import Tokenizer
from workbench.models.gemma4 import Gemma4ForCausalLM


@dataclass(frozen=True, slots=True, kw_only=True)
class Suites:
    """Which suites to run.

    Attributes:
        tasks: names of suites in `folder`.
        folder: task files of lm-evaluation-harness, and their data.
        mmlu: MMLU's archive, unpacked; None leaves it out.
        shots: answered questions that stand before each; None takes what a suite says, 5 for MMLU.
    """

    tasks: tuple[str, ...] = ()
    folder: Path | None = None
    mmlu: Path | None = None
    shots: int | None = None
    limit: int | None = None

    def check(self) -> None:
        """Checks what can be known without the harness.

        Raises:
            InputError: names the option or file.
        """
        if self.tasks and self.folder is None:
            raise InputError("suites are read from local files: name their folder", key="--tasks-folder")
        if self.folder is not None:
            check_folder(self.folder, self.tasks)

    def configs(self) -> list[str | dict[str, Any]]:
        """The suites as the harness takes them."""
        mmlu = mmlu_tasks(self.mmlu, 5 if self.shots is None else self.shots) if self.mmlu else []
        return [*self.tasks, *mmlu]

    def __bool__(self) -> bool:
        return bool(self.tasks or self.mmlu)


def run_suites(
    model: Gemma4ForCausalLM,
    tokenizer: Tokenizer,
    arms: Sequence[str],
    suites: Suites,
    told: Callable[[str], None] = lambda text: None,
) -> list[SuiteScore]:
    """Runs suites on each arm.

    Args:
        model: whose weights all arms share.
        tokenizer: its tokenizer.
        arms: names; the first is the baseline.
        suites: which.
        told: gets a line for each arm.

    Raises:
        InputError: the harness is not installed, or a suite cannot be read or has no accuracy.
    """
    suites.check()
    tasks = suites.configs()
    import_harness()
    answers: dict[str, Mapping[str, Sequence[float]]] = {}
    for arm in arms:
        told(f"suites on {arm}")
        answers[arm] = _run(model, tokenizer, arm, suites, tasks)
    return score_suites(answers)


def _run(
    model: Gemma4ForCausalLM, tokenizer: Tokenizer, arm: str, suites: Suites, tasks: Sequence[Any]
) -> dict[str, list[float]]:
    from copy import deepcopy

    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    from workbench.bench.harness.model import HarnessModel

    with redirect_stdout(sys.stderr), sandboxed_templates():
        try:
            folder = str(suites.folder) if suites.folder else None
            results = simple_evaluate(
                HarnessModel(model, tokenizer, arm),
                # The harness takes what it needs out of them.
                tasks=deepcopy(list(tasks)),
                task_manager=TaskManager(include_path=folder, include_defaults=False),
                num_fewshot=suites.shots,
                limit=suites.limit,
                bootstrap_iters=0,
                log_samples=True,
            )
        # Whatever is wrong with a task file comes as an error of the library that met it.
        except Exception as error:
            raise InputError(
                f"{type(error).__name__}: {error}"[:400], file=suites.folder or suites.mmlu
            ) from error
    return {task: _right(task, samples) for task, samples in results["samples"].items()}


def _right(task: str, samples: Sequence[Mapping[str, Any]]) -> list[float]:
    """Which questions were answered rightly, in their own order."""
    if not samples or "acc" not in samples[0]:
        raise InputError(f"{task}: has no accuracy (`acc`); allowed: multiple-choice suites", key="--tasks")
    return [float(sample["acc"]) for sample in sorted(samples, key=lambda sample: int(sample["doc_id"]))]
