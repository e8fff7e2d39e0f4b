from __future__ import annotations

import dataclasses

import pytest

from tests.support.patience import with_time_enough
from tests.sweep.in_process import SWEEP, Told
from tests.sweep.toy_kernels import DOUBLE, FAULTS
from workbench.devices import find_device
from workbench.sweep.evaluators.builder import Builder
from workbench.sweep.evaluators.open import Timeouts
from workbench.sweep.evaluators.subject import Subject
from workbench.sweep.evaluators.work_count import WorkCount
from workbench.sweep.plan import make_plans
from workbench.sweep.run import run_sweep
from workbench.sweep.spec import load_spec
from workbench.trials.journal import read_trials
from workbench.trials.trial import Candidate, Evidence, Stage, Status

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def faulty(warm_workers, tmp_path_factory):
    """A real sweep over every fault: real workers, real compiling, the real interpreter."""
    lines = {line.split(":")[0]: line for line in SWEEP.splitlines()}
    lines["problems"] = "problems: {width: 8, tokens: [3]}"
    lines["space"] = f"space: {{fault: [{', '.join(FAULTS)}], block: [2, 64]}}"
    lines["verify"] = "verify: {seeds: 2}"

    def sweep_within(limit):
        folder = tmp_path_factory.mktemp("faulty")
        file = folder / "toy.yaml"
        file.write_text("\n".join(lines.values()))
        (plan,) = make_plans(load_spec(file), "auto", out=folder / "results", jobs=2)
        outcome = run_sweep(plan, Told(), timeouts=Timeouts(verify_s=limit))
        trials = list(read_trials(plan.folder / "trials.jsonl"))
        late = {trial.config["fault"] for trial in trials if trial.status is Status.TIMEOUT}
        return (outcome, trials), late <= {"hangs"}

    return with_time_enough(sweep_within)


@pytest.fixture(scope="module")
def by_fault(faulty):
    _, trials = faulty
    return {trial.config["fault"]: trial for trial in trials if trial.config["block"] == 2}


def test_every_config_is_a_row_once(faulty):
    outcome, trials = faulty
    assert len(trials) == len({trial.trial for trial in trials}) == 2 * len(FAULTS) + 1
    assert sorted(trials, key=lambda trial: trial.trial) == sorted(
        outcome.problems[0].trials, key=lambda trial: trial.trial
    )


def test_every_row_that_failed_says_why_in_one_line_and_has_no_time(faulty):
    _, trials = faulty
    for trial in trials:
        failed = trial.status is not Status.OK
        assert (trial.reason is not None) == failed
        assert (trial.time_us is None) == failed
        assert (trial.evidence is Evidence.NONE) == failed
        assert not failed or "\n" not in trial.reason


def test_a_sound_config_is_modelled_and_says_on_what_it_was_verified(by_fault):
    trial = by_fault["none"]
    assert (trial.status, trial.evidence, trial.stage) == (Status.OK, Evidence.MODELLED, Stage.MEASURE)
    assert trial.verified_on == {"width": 8, "tokens": 3}
    assert trial.resources[0].num_warps == 1


def test_a_wrong_kernel_gives_a_wrong_result(by_fault):
    trial = by_fault["wrong"]
    assert (trial.status, trial.stage) == (Status.WRONG_RESULT, Stage.VERIFY)
    assert trial.reason.startswith("seed 0: y: ")
    # What it needs is known all the same.
    assert trial.resources


def test_a_kernel_that_raises_while_compiling_is_a_compile_error(by_fault):
    trial = by_fault["raises"]
    assert (trial.status, trial.stage) == (Status.COMPILE_ERROR, Stage.COMPILE)
    assert "a fault of its own" in trial.reason


def test_a_compiler_that_aborts_is_a_crash(by_fault):
    trial = by_fault["aborts_in_compile"]
    assert (trial.status, trial.stage) == (Status.CRASHED, Stage.COMPILE)
    assert "SIGABRT" in trial.reason


def test_a_kernel_that_hangs_in_the_interpreter_is_a_timeout(by_fault):
    trial = by_fault["hangs"]
    assert (trial.status, trial.stage) == (Status.TIMEOUT, Stage.VERIFY)
    assert trial.reason.startswith("verifying: killed after ")


def test_an_interpreter_that_dies_is_a_crash(by_fault):
    trial = by_fault["dies_in_interpreter"]
    assert (trial.status, trial.stage) == (Status.CRASHED, Stage.VERIFY)
    assert "SIGABRT" in trial.reason


def test_what_the_kernel_rejects_is_pruned_before_any_compiling(faulty):
    _, trials = faulty
    rejected = {(trial.status, trial.stage, trial.reason) for trial in trials if trial.config["block"] == 64}
    assert rejected == {(Status.PRUNED, Stage.SPACE, "block=64 is too wide")}


def test_the_winner_is_among_the_sound_ones(faulty):
    outcome, _ = faulty
    assert outcome.problems[0].winner.config["fault"] == "none"


def builder(**changed):
    kernel = dataclasses.replace(DOUBLE, **changed)
    subject = Subject(
        reference="", kernel=kernel, device=find_device("b200"), source_hash="abc", verify_seeds=1
    )
    return Builder(subject, None, WorkCount(lambda _: None))


def broken(*_):
    raise KeyError("tokens")


@pytest.mark.parametrize("part", ["reject", "make_inputs", "make_outputs", "launches"])
def test_a_description_that_raises_is_a_row_too(part):
    candidate = Candidate({"width": 8, "tokens": 1}, DOUBLE.default_config)
    trial = builder(**{part: broken}).start(candidate)
    assert (trial.status, trial.reason) == (Status.COMPILE_ERROR, "KeyError: 'tokens'")


def test_a_passed_check_is_no_trial():
    assert Subject.failed_check(None, None, None) is None
