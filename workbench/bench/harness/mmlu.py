"""MMLU from local files, in the layout of its authors' archive: `dev/SUBJECT_dev.csv` and `test/SUBJECT_test.csv`.

Each line has the question, four choices and the letter of the right one. How it is asked and scored:
https://arxiv.org/abs/2009.03300, section 4.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workbench.base.errors import InputError

LETTERS = ("A", "B", "C", "D")
_SUBJECT = re.compile(r"[a-z0-9_]{1,80}")
_COLUMNS = ("question", *LETTERS, "answer")
_PROMPT = (
    "{{question.strip()}}\n" + "\n".join(f"{letter}. {{{{{letter}}}}}" for letter in LETTERS) + "\nAnswer:"
)


def mmlu_tasks(folder: Path, shots: int) -> list[dict[str, Any]]:
    """The task of each subject, as lm-evaluation-harness takes them.

    Args:
        folder: of the archive.
        shots: answered questions that stand before each.

    Raises:
        InputError: there are no subjects, or a line is not what it should be; names file and line.
    """
    tests = sorted((folder / "test").glob("*_test.csv"))
    if not tests:
        raise InputError("has no test/SUBJECT_test.csv", file=folder, key="--mmlu")
    return [_task(folder, path, path.stem.removesuffix("_test"), shots) for path in tests]


def _task(folder: Path, test: Path, subject: str, shots: int) -> dict[str, Any]:
    if not _SUBJECT.fullmatch(subject):
        raise InputError("is named after no subject; allowed: small letters, digits and '_'", file=test)
    files = {"test": test} | ({"dev": folder / "dev" / f"{subject}_dev.csv"} if shots else {})
    counts = {split: _check(path) for split, path in files.items()}
    if shots > counts.get("dev", 0):
        raise InputError(
            f"has {counts['dev']} questions, {shots} are to stand before each", file=files["dev"]
        )
    return {
        "task": f"mmlu_{subject}",
        "dataset_path": "csv",
        "dataset_kwargs": {
            "data_files": {split: str(path.resolve()) for split, path in files.items()},
            "names": list(_COLUMNS),
            "header": None,
            "keep_default_na": False,
            # As they stand: a column of numbers stays text.
            "converters": dict.fromkeys(_COLUMNS, str),
        },
        "output_type": "multiple_choice",
        "test_split": "test",
        **({"fewshot_split": "dev", "fewshot_config": {"sampler": "first_n"}} if shots else {}),
        "num_fewshot": shots,
        "description": f"Multiple choice questions about {subject.replace('_', ' ')}, with answers.\n\n",
        "doc_to_text": _PROMPT,
        "doc_to_choice": list(LETTERS),
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }


def _check(path: Path) -> int:
    """Checks a file's lines and counts them."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"is no CSV: {error}", file=path) from error
    for line, row in enumerate(rows, 1):
        _check_row(path, line, row)
    if not rows:
        raise InputError("has no questions", file=path)
    return len(rows)


def _check_row(path: Path, line: int, row: Sequence[str]) -> None:
    if len(row) != len(_COLUMNS):
        raise InputError(f"must be {', '.join(_COLUMNS)}, got {len(row)} columns", file=path, line=line)
    if row[-1] not in LETTERS:
        raise InputError(
            f"must be one of {', '.join(LETTERS)}, got {row[-1][:20]!r}", file=path, line=line, key="answer"
        )
