from __future__ import annotations

import numpy as np
import pytest

from moe_kernels.registry import TUNABLES
from workbench.devices import find_device
from workbench.ranking.legality import fits
from workbench.ranking.workload import Tiles
from workbench.sweep.evaluators.ranked import OFFERED, RankedEvaluator
from workbench.sweep.evaluators.subject import Subject
from workbench.sweep.priors import has_ranking, prior, why_too_large
from workbench.sweep.select import MODELLED_MARGIN, select
from workbench.trials.trial import Candidate, Evidence, Stage, Status

EXPERTS = TUNABLES["experts"]
PROBLEM = {
    "num_experts": 128,
    "top_k": 8,
    "hidden_size": 2816,
    "intermediate_size": 704,
    "dtype": "bf16",
    "tokens": 16,
}
CONFIGS = [
    EXPERTS.complete({"BLOCK_SIZE_M": m, "BLOCK_SIZE_N": n, "BLOCK_SIZE_K": k, "num_stages": stages})
    for m in (16, 64, 256)
    for n in (32, 128, 256)
    for k in (64, 256)
    for stages in (2, 5)
]


class Checks:
    """Answers in the place of compile, screen and verify."""

    def __init__(self, subject, bad=()):
        self.subject, self.bad, self.asked = subject, bad, []

    def evaluate(self, candidates, known):
        for candidate in candidates:
            self.asked.append(candidate.config)
            failed = candidate.config in self.bad
            status = Status.WRONG_RESULT if failed else Status.OK
            yield [
                self.subject.trial(
                    candidate,
                    Stage.VERIFY if failed else Stage.MEASURE,
                    status,
                    reason="bad" if failed else None,
                )
            ]


@pytest.fixture
def ranked():
    def make(device="b200", bad=()):
        subject = Subject(
            reference="experts", kernel=EXPERTS, device=find_device(device), source_hash="x", verify_seeds=1
        )
        checks = Checks(subject, bad)
        return RankedEvaluator(subject, checks, EXPERTS.default_config), checks

    return make


def trials_of(evaluator, configs=CONFIGS, problem=PROBLEM):
    default = EXPERTS.default_config
    return next(iter(evaluator.evaluate([Candidate(problem, each) for each in [default, *configs]], ())))


def test_the_experts_have_a_ranking_and_routing_has_none():
    assert has_ranking(EXPERTS, find_device("b200"))
    assert not has_ranking(TUNABLES["routing"], find_device("b200"))


def test_what_exceeds_the_closed_form_is_pruned_and_nothing_else_is(ranked):
    for device in ("b200", "h200", "rtx5090"):
        evaluator, _ = ranked(device)
        gpu = find_device(device)
        legal = fits(Tiles.of(CONFIGS), gpu.compute_capability, 2, gpu.shared_bytes_per_block)
        trials = trials_of(evaluator)[1:]
        assert [trial.status is Status.OK for trial in trials] == legal.tolist()
        pruned = [trial for trial in trials if trial.status is not Status.OK]
        assert pruned
        assert all("bytes of shared memory a block by the closed form" in trial.reason for trial in pruned)


def test_where_the_closed_form_is_not_proven_the_compile_decides():
    needy = EXPERTS.complete({"BLOCK_SIZE_M": 256, "BLOCK_SIZE_N": 256, "BLOCK_SIZE_K": 256, "num_stages": 5})
    assert why_too_large(PROBLEM, find_device("rtx5090"), needy)
    assert why_too_large(PROBLEM, find_device("rtx4090"), needy) is None
    assert why_too_large(PROBLEM, find_device("rtx5090"), {**needy, "num_stages": 1}) is None


def test_times_order_configs_as_the_ranking_does(ranked):
    evaluator, _ = ranked()
    trials = [trial for trial in trials_of(evaluator)[1:] if trial.status is Status.OK]
    scores = prior(PROBLEM, find_device("b200"), [trial.config for trial in trials])
    assert np.argsort([trial.time_us for trial in trials]).tolist() == np.argsort(scores).tolist()
    assert {trial.evidence for trial in trials} == {Evidence.MODELLED}


def test_only_what_is_offered_is_compiled_and_a_config_that_fails_is_passed_over(ranked):
    evaluator, _ = ranked()
    trials = sorted(
        (trial for trial in trials_of(evaluator) if trial.status is Status.OK),
        key=lambda trial: trial.time_us,
    )
    best = next(trial.config for trial in trials if trial.config != EXPERTS.default_config)
    evaluator, checks = ranked(bad=[best])
    final = evaluator.finals(trials)
    assert len(checks.asked) == 1 + 1 + OFFERED
    assert {trial.status for trial in final.trials} == {Status.OK, Status.WRONG_RESULT, Status.SKIPPED}
    winner = select(final.trials, EXPERTS.default_config, margin=MODELLED_MARGIN)
    assert winner.config != best
    assert winner.config in checks.asked


def test_a_problem_that_cannot_be_ranked_is_compiled_as_any_other(ranked):
    evaluator, checks = ranked()
    list(evaluator.evaluate([Candidate({**PROBLEM, "dtype": "fp8_w8a16"}, CONFIGS[0])], ()))
    assert checks.asked == [CONFIGS[0]]
