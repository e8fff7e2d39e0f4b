"""What a run knows of its trials: those that its journal holds, and those that come about."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.sweep.outcome import Progress
from workbench.sweep.plan import SweepPlan
from workbench.sweep.share import SharedLock
from workbench.trials.journal import Journal
from workbench.trials.trial import Candidate, Final, Trial, final_name, trial_id


class SweepRecord:
    """The journal of a run by candidate; tells of each trial that it records.

    Args:
        plan: says how trials are named.
        journal: of the run.
        progress: told of new trials.
        lock: held while something is written.
    """

    def __init__(self, plan: SweepPlan, journal: Journal, progress: Progress, lock: SharedLock) -> None:
        self._source, self._device, self._routing = plan.source_hash, plan.device.slug, plan.routing
        self._journal, self._progress, self._lock = journal, progress, lock

    def name(self, candidate: Candidate) -> str:
        """The name of a candidate's trial."""
        return trial_id(self._source, candidate, self._device, self._routing)

    def known(self, candidate: Candidate) -> Trial | None:
        """A candidate's trial, None where there is none yet."""
        return self._journal.trials.get(self.name(candidate))

    def add(self, trials: Sequence[Trial]) -> None:
        """Records trials that came about together."""
        with self._lock:
            self._journal.record(trials)
            for trial in trials:
                self._progress.trial(trial)

    def known_final(self, finalists: Sequence[Trial]) -> Final | None:
        """The re-timing of some finalists, None where there is none yet."""
        return self._journal.finals.get(final_name(finalists))

    def add_final(self, final: Final) -> None:
        """Records a re-timing."""
        with self._lock:
            self._journal.record_final(final)
