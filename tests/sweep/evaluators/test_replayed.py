from __future__ import annotations

import json

import pytest

from moe_kernels.tuned import parse
from tests.support.recordings import PARAMETERS, kernel_tuner, milliseconds, write
from tests.sweep.in_process import Killed, Told
from workbench.base.errors import InputError
from workbench.sweep.plan import make_plans
from workbench.sweep.run import run_sweep
from workbench.sweep.spec import load_spec
from workbench.trials.trial import Evidence

BEST = {"block": 64, "tile": 2, "unroll": 0, "layout": "column", "one": 3}


class Replay:
    """A folder with recordings, a sweep file over them, and what comes of running it."""

    def __init__(self, folder):
        self.folder, self.out, self.file = folder, folder / "out", folder / "replay.yaml"
        write(folder / "a.json.gz", kernel_tuner())
        self.write()

    def write(self, evaluate="{replay: a.json.gz}", search="{strategy: exhaustive}", more=""):
        self.file.write_text(f"name: replay\nevaluate: {evaluate}\nsearch: {search}\n{more}\n")

    def plan(self, trials=None):
        (plan,) = make_plans(load_spec(self.file).override(trials=trials), "auto", out=self.out, jobs=None)
        return plan

    def run(self, *, killed_after=None, fresh=False, trials=None):
        self.told = Told(killed_after)
        return run_sweep(self.plan(trials), self.told, fresh=fresh)

    def rows(self, device="NVIDIA_RTX_A4000"):
        return parse((self.out / device / "stencil" / "size_y=4096.json").read_text()).rows


@pytest.fixture
def replay(tmp_path):
    return Replay(tmp_path)


def test_an_exhaustive_replay_finds_the_recorded_optimum(replay):
    outcome = replay.run()
    winner = outcome.problems[0].winner
    assert winner.config == BEST
    assert winner.time_us == pytest.approx(1000 * milliseconds(BEST))
    assert winner.evidence is Evidence.REPLAYED
    assert replay.rows()[4096].evidence == "replayed"


def test_recorded_failures_are_rows_with_their_reason(replay):
    (problem,) = replay.run().problems
    failed = [trial for trial in problem.trials if trial.status != "ok"]
    assert {(trial.status, trial.reason) for trial in failed} == {
        ("crashed", "recorded as RuntimeFailedConfig")
    }
    assert len(failed) == sum(isinstance(milliseconds(trial.config), str) for trial in problem.trials) > 0
    assert all(trial.time_us is None for trial in failed)


def test_the_first_valid_config_is_the_baseline_and_default_names_another(replay):
    assert replay.plan().kernel.default_config["block"] == 16
    replay.write(more="default: {block: 32, tile: 1, unroll: 1, layout: row}")
    assert replay.plan().kernel.default_config == {
        "block": 32,
        "tile": 1,
        "unroll": 1,
        "layout": "row",
        "one": 3,
    }


def test_constraints_cut_the_recorded_space(replay):
    replay.write(more='constraints: ["block * tile <= 64", "unroll == 0"]')
    (problem,) = replay.run().problems
    tried = [trial.config for trial in problem.trials if trial.config != replay.plan().kernel.default_config]
    assert all(config["block"] * config["tile"] <= 64 and config["unroll"] == 0 for config in tried)
    assert problem.winner.config["block"] * problem.winner.config["tile"] <= 64


def test_a_budget_tries_no_more_and_a_larger_one_continues(replay):
    replay.write(search="{strategy: random}")
    assert len(replay.run(trials=10).problems[0].trials) == 10
    before = len(replay.told.trials)
    assert len(replay.run(trials=30).problems[0].trials) == 30
    assert (before, len(replay.told.trials)) == (10, 20)


@pytest.mark.parametrize("strategy", ["exhaustive", "random"])
@pytest.mark.parametrize("noise", ["none", "{seed: 5}"])
def test_killed_anywhere_the_same_command_ends_the_same(replay, strategy, noise):
    replay.write(f"{{replay: a.json.gz, noise: {noise}}}", f"{{strategy: {strategy}, trials: 60}}")
    undisturbed = replay.run()
    for after in (1, 7, 31, 40):
        with pytest.raises(Killed):
            replay.run(fresh=True, killed_after=after)
        resumed = replay.run()
        assert resumed.problems[0].winner == undisturbed.problems[0].winner
        assert {each.trial for each in resumed.problems[0].trials} == {
            each.trial for each in undisturbed.problems[0].trials
        }


def test_a_family_over_two_gpus_publishes_each_under_its_own(replay):
    write(
        replay.folder / "b.json",
        kernel_tuner("AMD Radeon PRO W6600", time=lambda config: 3.0 - 0.1 * config["unroll"]),
    )
    replay.write("{replay: [a.json.gz, b.json]}")
    outcome = replay.run()
    assert len(outcome.problems) == 2
    assert replay.rows()[4096].config == BEST
    assert replay.rows("AMD_Radeon_PRO_W6600")[4096].config["unroll"] == 1


def test_noise_is_drawn_over_the_times_and_the_winner_is_still_right(replay):
    replay.write("{replay: a.json.gz, noise: {seed: 1}}")
    (problem,) = replay.run().problems
    assert problem.winner.config == BEST
    assert problem.winner.time_us != pytest.approx(1000 * milliseconds(BEST), rel=1e-6)
    assert problem.winner.time_us == pytest.approx(1000 * milliseconds(BEST), rel=0.1)
    assert problem.winner.ci_us is not None
    assert (replay.plan().folder / "finals.jsonl").exists()


def test_replayed_rows_never_replace_better_evidence(replay):
    replay.run()
    path = replay.out / "NVIDIA_RTX_A4000" / "stencil" / "size_y=4096.json"
    text = path.read_text().replace('"evidence": "replayed"', '"evidence": "modelled"')
    path.write_text(text)
    outcome = replay.run(fresh=True)
    assert outcome.problems[0].published.kept == "modelled"
    assert replay.rows()[4096].evidence == "modelled"


def test_a_journal_of_ours_replays_to_the_same_winners(bench, tmp_path):
    recorded = bench.run()
    folder = tmp_path / "replay"
    folder.mkdir()
    replay = Replay(folder)
    replay.write(f"{{replay: {recorded.plan.folder}}}")
    outcome = replay.run()
    assert [each.problem["tokens"] for each in outcome.problems] == [1, 8]
    for before, after in zip(recorded.problems, outcome.problems, strict=True):
        assert after.winner.config == before.winner.config
        assert after.winner.time_us == before.winner.time_us
        assert after.winner.evidence is Evidence.REPLAYED
    assert replay.plan().kernel.default_config == recorded.plan.kernel.default_config


def damaged(folder, **changes):
    about = json.loads((folder / "sweep.json").read_text())
    (folder / "sweep.json").write_text(json.dumps({**about, **changes}))


@pytest.mark.parametrize(
    "damage, told",
    [
        (lambda folder: damaged(folder, source_hash="0" * 16), "trials.jsonl:1: trial: is not the hash"),
        (lambda folder: damaged(folder, kernel={"name": "double"}), "kernel.axes: wrong schema: is missing"),
        (
            lambda folder: damaged(
                folder,
                kernel={**json.loads((folder / "sweep.json").read_text())["kernel"], "name": "routing"},
            ),
            "recorded of another source of 'routing'",
        ),
        (lambda folder: (folder / "sweep.json").write_text("{"), "truncated or no JSON"),
        (lambda folder: (folder / "sweep.json").unlink(), "sweep.json: cannot be read"),
        (lambda folder: (folder / "trials.jsonl").unlink(), "trials.jsonl: is missing"),
        (lambda folder: (folder / "trials.jsonl").write_text("{}\n"), "trials.jsonl:1:"),
        (
            lambda folder: (folder / "trials.jsonl").write_text(
                (folder / "trials.jsonl").read_text().replace('"block": 2', '"block": 3', 1)
            ),
            "is not the hash",
        ),
        (
            lambda folder: (folder / "trials.jsonl").write_text(
                (folder / "trials.jsonl").read_text().replace('"time_us": ', '"time_us": -', 1)
            ),
            "positive and finite",
        ),
    ],
)
def test_a_damaged_or_foreign_journal_is_one_line(bench, tmp_path, damage, told):
    folder = bench.run().plan.folder
    damage(folder)
    sweep = tmp_path / "replay.yaml"
    sweep.write_text(f"name: replay\nevaluate: {{replay: {folder}}}\n")
    with pytest.raises(InputError) as caught:
        make_plans(load_spec(sweep), "auto", out=tmp_path / "out", jobs=None)
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "evaluate, more, told",
    [
        ("{replay: a.json.gz}", "kernel: routing", "replay.yaml:4: kernel: comes from the recording"),
        ("{replay: a.json.gz}", "device: b200", "device: comes from the recording"),
        ("{replay: a.json.gz}", "space: {block: [16]}", "space: comes from the recording"),
        ("{replay: []}", "", "evaluate.replay: is empty"),
        ("{replay: a.json.gz, noise: loud}", "", "evaluate.noise"),
        ("{replay: a.json.gz, noise: {drift: -1.0}}", "", "evaluate.noise.drift"),
        ("{replay: [a.json.gz, a.json.gz]}", "", "is listed twice"),
        ("{replay: a.json.gz}", "default: {blok: 16}", "replay.yaml:4: default.blok: unknown parameter"),
        ("{replay: a.json.gz}", "default: {block: 16}", "default: lacks tile, unroll, layout"),
        (
            "{replay: a.json.gz}",
            "default: {block: 17, tile: 1, unroll: 0, layout: row}",
            "is not in the recording",
        ),
        ("{replay: a.json.gz}", 'constraints: ["block > 999"]', "no recorded config is left"),
        ("{replay: a.json.gz}", 'constraints: ["blok > 9"]', "unknown variable 'blok'"),
        ("{replay: none.json}", "", "none.json: cannot be read"),
    ],
)
def test_what_a_replayed_sweep_may_not_hold_is_one_line(replay, evaluate, more, told):
    replay.write(evaluate, more=more)
    with pytest.raises(InputError) as caught:
        replay.plan()
    assert told in str(caught.value)


def test_recordings_that_do_not_belong_together_are_refused_with_both_names(replay):
    write(replay.folder / "other.json", kernel_tuner(kernel_name="convolution"))
    replay.write("{replay: [a.json.gz, other.json]}")
    with pytest.raises(InputError, match=r"other\.json: is no family with .*a\.json\.gz: its kernel"):
        replay.plan()


def test_the_same_problem_on_the_same_gpu_twice_is_refused(replay):
    write(replay.folder / "again.json", kernel_tuner())
    replay.write("{replay: [a.json.gz, again.json]}")
    with pytest.raises(InputError, match="records the same problem on the same GPU"):
        replay.plan()


def test_another_recording_is_another_run(replay):
    before = replay.plan().run_id
    write(replay.folder / "a.json.gz", kernel_tuner(time=lambda config: 2.0))
    assert replay.plan().run_id != before
    assert set(PARAMETERS) == set(replay.plan().kernel.default_config)
