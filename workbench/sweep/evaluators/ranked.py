"""For a GPU that is not there and a kernel with a ranking: all configs are ranked, and what is offered is compiled.

Compiling a grid of thousands takes hours of a core, ranking it a second. So a config is screened by the closed form of
its shared memory and ranked; then, best first, configs are compiled for the GPU, screened by what the machine code
needs and verified in Triton's interpreter, until enough of them have passed. Only those can win.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from moe_kernels.tunable import Config
from workbench.sweep.evaluators.modelled import ModelledEvaluator
from workbench.sweep.evaluators.subject import Subject
from workbench.sweep.priors import prior, why_too_large
from workbench.trials.trial import Candidate, Evidence, Final, Stage, Status, Trial

RANKING = "ranking-1"
# Configs that pass beside the default before the search for a winner ends.
OFFERED = 2


class RankedEvaluator:
    """Ranks candidates; its times only order them.

    Args:
        subject: what is swept.
        modelled: compiles, screens and verifies what is offered.
        default: the kernel's default config.
    """

    def __init__(self, subject: Subject, modelled: ModelledEvaluator, default: Config) -> None:
        self._subject, self._modelled, self._default = subject, modelled, default

    def prepare(self, candidates: Sequence[Candidate]) -> None:
        """Nothing runs ahead: ranking takes no worker."""

    def known(self, candidate: Candidate) -> None:
        """Nothing: the ranking is all that is asked."""

    def evaluate(self, candidates: Sequence[Candidate], known: Sequence[Trial]) -> Iterator[Sequence[Trial]]:
        """All candidates at once."""
        scores = prior(candidates[0].problem, self._subject.device, [each.config for each in candidates])
        if scores is None:
            yield from self._modelled.evaluate(candidates, known)
            return
        yield [self._ranked(*each) for each in zip(candidates, scores.tolist(), strict=True)]

    def finals(self, trials: Sequence[Trial]) -> Final:
        """The default and the best that pass, as compile, screen and verify left them; those that failed, too."""
        found: list[Trial] = []
        for trial in sorted(trials, key=lambda each: each.config != self._default):
            passed = sum(each.status is Status.OK and each.config != self._default for each in found)
            found.append(_not_needed(trial) if passed == OFFERED else self._offered(trial))
        return Final(tuple(found), 0.0)

    def _ranked(self, candidate: Candidate, score: float) -> Trial:
        subject = self._subject
        if pruned := subject.rejected(candidate):
            return pruned
        if reason := why_too_large(candidate.problem, subject.device, candidate.config):
            return subject.trial(candidate, Stage.SCREEN, Status.PRUNED, reason=reason)
        time_us = math.exp(score)
        return subject.trial(candidate, Stage.SCREEN, Status.OK, time_us=time_us, evidence=Evidence.MODELLED)

    def _offered(self, trial: Trial) -> Trial:
        """A ranked trial with what its code came to; its time stays the ranking's."""
        candidate = Candidate(trial.problem, trial.config)
        ((checked,),) = self._modelled.evaluate([candidate], ())
        if checked.status is not Status.OK:
            return checked
        return replace(checked, time_us=trial.time_us)


def _not_needed(trial: Trial) -> Trial:
    reason = f"{OFFERED} that rank before it have passed"
    return replace(trial, status=Status.SKIPPED, reason=reason, time_us=None, evidence=Evidence.NONE)
