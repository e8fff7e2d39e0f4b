import dataclasses
import json

import pytest

from workbench.base.errors import InputError
from workbench.devices import find_device
from workbench.ranking.grid import GRID
from workbench.ranking.journals import read_journals
from workbench.ranking.workload import PARAMETERS
from workbench.trials.journal import Journal
from workbench.trials.trial import Evidence, Stage, Status, Trial

PROBLEM = {
    "num_experts": 128,
    "top_k": 8,
    "hidden_size": 2816,
    "intermediate_size": 704,
    "dtype": "bf16",
    "tokens": 8,
}


def trial(name, row, time_us, **changes):
    config = {**dict(zip(PARAMETERS, GRID[row], strict=True)), "fuse_activation": 0}
    fields = {
        "trial": name,
        "problem": PROBLEM,
        "config": config,
        "stage": Stage.MEASURE,
        "status": Status.OK,
        "time_us": time_us,
        "evidence": Evidence.MEASURED,
    }
    return Trial(**{**fields, **changes})


def a_run(tmp_path, *trials):
    figures = {k: v for k, v in dataclasses.asdict(find_device("h200")).items() if k != "sources"}
    folder = tmp_path / "runs" / "experts-1"
    with Journal(folder, sweep={"device": figures}, environment={}) as journal:
        for each in trials:
            journal.record([each])
    return folder


def test_the_fastest_config_of_a_journal_is_the_likeliest(tmp_path):
    (choice,) = read_journals(
        [a_run(tmp_path, trial("a", 0, 120.0), trial("b", 5, 100.0), trial("c", 9, 101.0))]
    )
    assert choice.winner == 5
    assert choice.board.name == "NVIDIA_H200"
    assert choice.workload.tokens == 8
    shares = dict(zip(choice.candidates.tolist(), choice.shares, strict=True))
    assert shares[5] > shares[9] > 0.2 > 0.01 > shares[0]
    assert sum(shares.values()) == pytest.approx(1)


def test_only_what_was_timed_with_the_engines_kernel_counts(tmp_path):
    fused = {**trial("x", 11, 1.0).config, "fuse_activation": 1}
    others = (
        trial("modelled", 1, 1.0, evidence=Evidence.MODELLED),
        trial("failed", 2, None, status=Status.COMPILE_ERROR),
        trial("fused", 3, 1.0, config=fused),
        trial("off", 4, 1.0, config={"num_warps": 4}),
        trial("routing", 5, 1.0, problem={"num_experts": 8, "top_k": 2, "dtype": "bf16", "tokens": 1}),
    )
    (choice,) = read_journals([a_run(tmp_path, trial("a", 0, 120.0), trial("b", 6, 100.0), *others)])
    assert sorted(choice.candidates.tolist()) == [0, 6]


def test_a_run_without_a_choice_is_an_error(tmp_path):
    with pytest.raises(InputError, match="two measured configs"):
        read_journals([a_run(tmp_path, trial("a", 0, 120.0))])


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    with pytest.raises(InputError, match="is no run"):
        read_journals([tmp_path])


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps({"device": {"slug": "x"}})])
def test_a_run_that_does_not_describe_its_gpu_is_an_error(tmp_path, content):
    folder = a_run(tmp_path, trial("a", 0, 120.0))
    (folder / "sweep.json").write_text(content)
    with pytest.raises(InputError, match="does not describe its GPU"):
        read_journals([folder])
