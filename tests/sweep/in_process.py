"""Runs whole sweeps in this process: no worker, no compiler and no GPU, only answers that a test makes up."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from moe_kernels.tuned import parse
from workbench.executors.inside import attempt
from workbench.sweep.evaluators.open import HERE
from workbench.sweep.plan import make_plans
from workbench.sweep.routing_distributions import routing_distributions
from workbench.sweep.run import run_sweep
from workbench.sweep.spec import load_spec
from workbench.trials.trial import Evidence, Resources

SWEEP = """\
name: toy
kernel: tests.sweep.toy_kernels:DOUBLE
device: b200
problems: {width: 8, tokens: [1, 8]}
space: {block: [1, 2, 4]}
search: {strategy: exhaustive}
"""


class DiedError(Exception):
    """Raised by an answer whose worker would have died; carries what the pool would answer."""


class Killed(BaseException):
    """As `kill -9`: nothing in the product gets to handle it."""


@dataclass
class InProcessPool:
    """Answers in the place of workers, by the name of the function that they would run."""

    answers: dict
    asked: list
    jobs: int
    timeout_s: float
    environment: dict = field(default_factory=dict)
    harmless: tuple = ()

    def renew(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *arguments):
        future = Future()
        self.asked.append((self.environment, function.__name__, arguments))
        try:
            future.set_result(_attempt_or_die(self.answers[function.__name__], *arguments))
        except DiedError as death:
            future.set_result(death.args[0])
        return future


def _attempt_or_die(answer, *arguments):
    deaths = []

    def call(*arguments):
        try:
            return answer(*arguments)
        except DiedError as death:
            deaths.append(death)

    result = attempt(call, *arguments)
    if deaths:
        raise deaths[0]
    return result


def resources(cycles):
    return Resources(
        registers=32, spill_bytes=0, shared_bytes=0, num_warps=1, instructions={}, critical_cycles=cycles
    )


class Told:
    """A progress that remembers."""

    def __init__(self, killed_after=None):
        self.starts, self.trials, self.outcomes, self.workload = [], [], [], None
        self.notes = []
        self.killed_after = killed_after

    def note(self, text):
        self.notes.append(text)

    def started(self, plan, done, total):
        self.starts.append((done, total))

    def trial(self, trial):
        self.trials.append(trial)
        if len(self.trials) == self.killed_after:
            raise Killed

    def work(self, workload):
        self.workload = workload
        assert workload.done <= workload.planned

    def problem(self, outcome):
        self.outcomes.append(outcome)


class Bench:
    """A folder with a sweep file, made-up answers, and what comes of running it.

    Blocks are faster the larger they are, until a test says otherwise.
    """

    def __init__(self, folder, monkeypatch):
        self.out, self.file = folder / "results", folder / "toy.yaml"
        self.file.write_text(SWEEP)
        self.compiled, self.verified, self.asked = [], [], []
        self.answers = {
            "warm_up": lambda *_: None,
            "compile_candidate": self._compile,
            "verify_interpreted": self._verify,
        }
        self.cycles = lambda config: 40_000 // config["block"]
        self.verdict = lambda config: None
        monkeypatch.setattr(
            "workbench.executors.site.WorkerPool",
            lambda jobs, **more: InProcessPool(self.answers, self.asked, jobs, **more),
        )

    def _compile(self, reference, candidate, capability):
        self.compiled.append(candidate)
        return (resources(self.cycles(candidate.config)),)

    def _verify(self, reference, problem, config, seeds):
        self.verified.append((problem, config))
        return self.verdict(config)

    def write(self, **lines):
        kept = {line.split(":")[0]: line for line in SWEEP.splitlines()}
        kept |= {key: f"{key}: {text}" for key, text in lines.items()}
        self.file.write_text("\n".join(kept.values()) + "\n")

    def plan(self, *, trials=None, jobs=1, evidence=Evidence.MODELLED):
        (plan,) = make_plans(load_spec(self.file).override(trials=trials), "auto", out=self.out, jobs=jobs)
        if evidence is not Evidence.MEASURED:
            return plan
        distributions = routing_distributions(plan.loaded, plan.kernel)
        return replace(plan, evidence=evidence, distributions=distributions)

    def run(self, *, fresh=False, killed_after=None, site=HERE, **more):
        self.told = Told(killed_after)
        return run_sweep(self.plan(**more), self.told, fresh=fresh, site=site)

    def run_plan(self, plan):
        """Runs another plan than this bench's own, and returns its journal."""
        run_sweep(plan, Told())
        return plan.folder

    @property
    def winners_path(self):
        return self.out / "NVIDIA_B200" / "double" / "W=8.json"

    @property
    def rows(self):
        return parse(self.winners_path.read_text()).rows

    def journal_lines(self, name="trials.jsonl"):
        (sweep,) = (each for each in self.out.glob("runs/*/sweep.json") if ".before-" not in str(each))
        path = sweep.with_name(name)
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
