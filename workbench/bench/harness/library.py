"""lm-evaluation-harness itself: imported when it is needed, offline, and without running what a file holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from workbench.base.errors import InputError
from workbench.bench.text import INSTALL

_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


def import_harness() -> ModuleType:
    """Imports `lm_eval` with everything that would ask a network told not to.

    Raises:
        InputError: it is not installed; says how to.
    """
    # Read when their libraries are imported.
    os.environ.update(dict.fromkeys(_OFFLINE, "1"))
    # Its bars, one a suite and arm, would say less than a line does.
    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        import lm_eval
        import lm_eval.evaluator
        import lm_eval.tasks
    except ImportError as error:
        raise InputError(f"suites need lm-evaluation-harness ({error}): {INSTALL}", key="--tasks") from error
    return lm_eval  # type: ignore[no-any-return]


@contextmanager
def sandboxed_templates() -> Iterator[None]:
    """Renders the templates of task files where they reach nothing but the question."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from lm_eval import utils

    plain = utils.env
    safe = ImmutableSandboxedEnvironment(loader=plain.loader, undefined=plain.undefined)
    safe.filters.update(plain.filters)
    utils.env = safe
    try:
        yield
    finally:
        utils.env = plain
