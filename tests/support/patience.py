"""How long a test waits for what has to come: until it can only have hung, however busy the machine is."""

from __future__ import annotations

import time

PATIENCE_S = 900.0


def wait_for(is_there, process=None):
    """Waits until something is there, for which a process has to live where one is given."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_there():
        assert time.monotonic() < deadline, "it never came"
        if process is not None and process.poll() is not None and not is_there():
            raise AssertionError(f"the process ended first: {process.communicate()}")
        time.sleep(0.02)


def with_time_enough(run_within):
    """The outcome of what is run with a time limit that sound parts of it keep, wherever a busy machine puts that.

    Args:
        run_within: a limit in seconds -> the outcome, and whether it was time enough.
    """
    for limit in (12.0, 60.0, 300.0):
        outcome, was_enough = run_within(limit)
        if was_enough:
            break
    return outcome
