from __future__ import annotations

import importlib
import logging
import os
import threading

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moe_kernels import tuned
from moe_kernels.tuned import device_slug, explain, lookup, refresh
from tests.moe_kernels.tuned.toys import DEVICE, PROBLEM, RUN_ID, TOY, a_file, a_row, a_run, path_in, write

# The package exports the function under the module's name.
MODULE = importlib.import_module("moe_kernels.tuned.lookup")
DEFAULT = TOY.default_config


def ask(tokens=8, problem=PROBLEM, device=DEVICE):
    return lookup(TOY, problem, tokens, device)


def why(tokens=8, problem=PROBLEM, device=DEVICE):
    return explain(TOY, problem, tokens, device).why


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, "moe_kernels.tuned")
    return lambda: [f"{record.levelname}: {record.getMessage()}" for record in caplog.records]


def test_a_usable_row_is_taken_whole_and_cannot_be_changed(results, said):
    write(results, a_file({8: a_row(2)}))
    config = ask()
    assert config == {"block": 2, "algorithm": "plain"}
    with pytest.raises(TypeError):
        config["block"] = 3
    assert not said()


def test_a_hit_returns_the_same_object_without_reading_anything(results, monkeypatch):
    write(results, a_file())
    first = ask()
    monkeypatch.setattr(MODULE, "_miss", None)
    assert ask() is first


@given(
    st.sets(st.integers(1, 20_000), min_size=1, max_size=12),
    st.lists(st.integers(0, 40_000), min_size=1, max_size=5),
)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_nearest_row_is_taken_and_the_smaller_of_two(results, ladder, asked):
    rows = {tokens: a_row(config={"block": 1, "algorithm": str(tokens)}) for tokens in ladder}
    write(results, a_file(rows))
    refresh()
    for tokens in {*asked, *ladder, *(tokens + 1 for tokens in ladder)}:
        best = None
        for rung in sorted(ladder):
            if best is None or abs(rung - tokens) < abs(best - tokens):
                best = rung
        expected = DEFAULT if tokens == 0 else {"block": 1, "algorithm": str(best)}
        assert ask(tokens) == expected


@given(
    st.one_of(
        st.binary(),
        st.text().map(str.encode),
        st.tuples(st.integers(0, 900), st.binary(max_size=3)).map(
            lambda cut: tuned.serialise(a_file()).encode()[: cut[0]] + cut[1]
        ),
    )
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_content_of_a_file_makes_a_lookup_raise(results, content):
    write(results, content)
    refresh()
    assert set(ask()) == set(DEFAULT)
    assert why()


def test_a_damaged_file_means_the_default_even_where_a_later_folder_has_a_row(results, tmp_path, said):
    write(results, b"{")
    write(tmp_path / "here" / "results", a_file({8: a_row(2)}))
    assert ask() == ask(9) == DEFAULT
    assert len(said()) == 1
    assert str(path_in(results)) in said()[0]


def test_the_first_folder_with_a_usable_row_decides(results, tmp_path):
    here = tmp_path / "here" / "results"
    write(results, a_file({8: a_row(1, evidence="modelled")}))
    write(here, a_file({1000: a_row(2)}))
    assert ask()["block"] == 2
    write(results, a_file({8: a_row(1)}))
    refresh()
    assert ask()["block"] == 1


def test_files_and_environment_are_read_once(results, monkeypatch):
    path = write(results, a_file({8: a_row(2, evidence="modelled")}))
    assert ask() == DEFAULT
    monkeypatch.setenv("WORKBENCH_EVIDENCE", "modelled")
    path.write_text("damaged")
    assert ask() == ask(9) == DEFAULT
    write(results, a_file({8: a_row(2, evidence="modelled")}))
    refresh()
    assert ask()["block"] == 2


@pytest.mark.parametrize(
    ("row", "run", "reason"),
    [
        ({"evidence": "modelled"}, {}, "never timed"),
        ({"evidence": "replayed"}, {}, "never loaded"),
        ({}, {"source_hash": "another"}, "tuned for other source"),
        ({"config": {"block": 1}}, {}, "algorithm is missing"),
        ({"config": {"block": 1, "algorithm": "plain", "more": 1}}, {}, "'more' is no parameter"),
        ({"config": {"block": "1", "algorithm": "plain"}}, {}, "block must be int"),
        ({"config": {"block": 1.0, "algorithm": "plain"}}, {}, "block must be int"),
        ({"config": {"block": 1000, "algorithm": "plain"}}, {}, "block is wider"),
    ],
)
def test_a_row_that_is_not_usable_is_passed_over(results, said, row, run, reason):
    write(results, a_file({8: a_row(**row)}, runs={RUN_ID: a_run(**run)}))
    assert ask() == DEFAULT
    assert reason in why()
    assert len(said()) == 1


def test_a_modelled_row_of_other_source_is_not_admitted_either(results, monkeypatch):
    monkeypatch.setenv("WORKBENCH_EVIDENCE", "modelled")
    row = a_row(2, evidence="modelled")
    write(results, a_file({8: row}, runs={RUN_ID: a_run(source_hash="another")}))
    assert ask() == DEFAULT


def test_an_unknown_evidence_in_the_environment_admits_measured_rows_and_says_so(results, monkeypatch, said):
    monkeypatch.setenv("WORKBENCH_EVIDENCE", "guessed")
    write(results, a_file({8: a_row(2)}))
    assert ask()["block"] == 2
    assert "guessed" in said()[0]


def test_a_row_that_fits_only_some_token_counts_is_taken_only_there(results):
    write(results, a_file({8: a_row(16), 64: a_row(2)}))
    assert (ask(8)["block"], ask(3)["block"]) == (16, 2)


@pytest.mark.parametrize(
    "changes",
    [{"device": "NVIDIA_OTHER"}, {"kernel": "another"}, {"problem": {"width": 65, "dtype": "bf16"}}],
)
def test_a_file_that_was_copied_to_another_place_is_damaged(results, changes):
    write(results, a_file(**changes))
    assert ask() == DEFAULT
    assert "is filed under" in why()


def test_another_triton_minor_is_said_once_and_the_row_still_taken(results, said):
    write(results, a_file({8: a_row(2)}, runs={RUN_ID: a_run(versions={"triton": "2.1.0"})}))
    assert ask(8)["block"] == ask(9)["block"] == 2
    assert ["Triton 2.1.0" in message for message in said()] == [True]


def test_the_default_is_said_once_a_problem_and_device(said):
    for tokens in (1, 2, 3):
        ask(tokens)
        ask(tokens, device="NVIDIA_OTHER")
        ask(tokens, problem={**PROBLEM, "width": 65})
    assert len(said()) == 3


@pytest.mark.parametrize(
    "device", ["../NVIDIA_TOY", "a/b", "..", "", "a\\b", "a\0b", "C:", "x" * 5000, -1, 99]
)
def test_a_device_that_cannot_be_means_the_default(device):
    assert ask(device=device) == ask(device=device) == DEFAULT


@pytest.mark.parametrize("width", ["../../x", "a/b", "x\0", "y" * 5000, [1], None, {}])
def test_a_problem_that_cannot_be_means_the_default(width):
    assert ask(problem={"width": width, "dtype": "bf16"}) == DEFAULT


@pytest.mark.parametrize("problem", [None, 3, {}, {"width": 64}, {**PROBLEM, "depth": 2}, [("width", 64)]])
def test_a_problem_with_other_axes_means_the_default(results, problem):
    write(results, a_file())
    assert ask(problem=problem) == DEFAULT


@pytest.mark.parametrize("tokens", [None, "8", 8.5, -1, 0, 2**80])
def test_token_counts_that_cannot_be_never_raise(results, tokens):
    write(results, a_file({8: a_row(4)}))
    assert ask(tokens)["block"] == 4


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)])
def test_what_is_no_regular_file_is_damaged(results, make):
    path_in(results).parent.mkdir(parents=True)
    make(path_in(results))
    assert ask() == DEFAULT


def test_a_folder_that_is_a_file_or_missing_is_passed_over(results, tmp_path, monkeypatch):
    write(tmp_path / "here" / "results", a_file({8: a_row(2)}))
    for named in (tmp_path / "nowhere", write(results, b"")):
        monkeypatch.setenv("WORKBENCH_RESULTS", str(named))
        refresh()
        assert ask()["block"] == 2


def test_the_ladder_may_be_part_of_the_problem(results):
    write(results, a_file({8: a_row(2)}))
    assert ask(problem={**PROBLEM, "tokens": 100})["block"] == 2


def test_an_unknown_kernel_is_an_error_that_lists_what_exists():
    with pytest.raises(ValueError, match="'nothing' is not one of routing"):
        lookup("nothing", PROBLEM, 8, DEVICE)


def test_a_shipped_kernel_is_found_by_name():
    from moe_kernels.registry import TUNABLES

    problem = {"num_experts": 96, "top_k": 6, "dtype": "bf16"}
    assert lookup("routing", problem, 8, "NVIDIA_NOWHERE") == TUNABLES["routing"].default_config


def pretend(monkeypatch, names, current=0):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(names))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: names[index])
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current)


@pytest.mark.parametrize(
    "device", [None, 0, "cuda", "cuda:0", torch.device("cuda"), torch.device("cuda", 0), DEVICE]
)
def test_a_device_may_be_given_in_every_form_and_is_asked_for_once(results, monkeypatch, device):
    write(results, a_file({8: a_row(2)}))
    pretend(monkeypatch, ["NVIDIA TOY", "NVIDIA TOY"])
    assert ask(device=device)["block"] == 2
    for name in ("is_available", "device_count", "get_device_name", "current_device"):
        monkeypatch.setattr(torch.cuda, name, None)
    assert ask(device=device)["block"] == 2


def test_with_unlike_gpus_the_current_one_counts_at_every_call(results, monkeypatch):
    write(results, a_file({8: a_row(2)}))
    names = ["NVIDIA TOY", "NVIDIA OTHER"]
    pretend(monkeypatch, names, current=0)
    assert ask(device=None)["block"] == 2
    pretend(monkeypatch, names, current=1)
    assert ask(device=None) == DEFAULT


@pytest.mark.parametrize("device", [None, 0, torch.device("cpu"), "cpu", torch.device("meta")])
def test_without_a_gpu_the_default_is_taken_and_said_quietly(monkeypatch, said, device):
    pretend(monkeypatch, [])
    assert ask(device=device) == DEFAULT
    assert [message.startswith("INFO: toy on no device") for message in said()] == [True]


def test_a_broken_driver_means_the_default(monkeypatch):
    def fail():
        raise RuntimeError("CUDA driver initialization failed")

    monkeypatch.setattr(torch.cuda, "is_available", fail)
    assert ask(device=None) == DEFAULT


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("NVIDIA B200", "NVIDIA_B200"),
        ("NVIDIA H200 NVL", "NVIDIA_H200"),
        ("NVIDIA GH200 480GB", "NVIDIA_GH200_480GB"),
        ("NVIDIA A100-SXM4-80GB", "NVIDIA_A100-SXM4-80GB"),
        ("Quadro RTX 6000/8000", "Quadro_RTX_6000_8000"),
    ],
)
def test_slugs_follow_vllm(name, slug):
    assert device_slug(name) == slug


def test_many_threads_get_the_same_answers_while_another_refreshes(results):
    write(
        results, a_file({tokens: a_row(config={"block": 1, "algorithm": str(tokens)}) for tokens in (1, 9)})
    )
    wrong = []

    def work():
        for tokens in range(1, 200):
            if ask(tokens)["algorithm"] != ("1" if tokens <= 5 else "9"):
                wrong.append(tokens)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        refresh()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_remembered_is_bounded(results, monkeypatch):
    monkeypatch.setattr(MODULE, "MAX_REMEMBERED", 10)
    write(results, a_file({8: a_row(2)}))
    assert {ask(tokens)["block"] for tokens in range(1, 100)} == {2}


def test_torch_compile_sees_the_row_of_each_token_count(results):
    write(results, a_file({4: a_row(2), 8: a_row(3)}))
    scale = torch.compile(lambda x: x * ask(x.shape[0])["block"], backend="eager")
    assert [scale(torch.ones(tokens))[0].item() for tokens in (4, 8, 5, 7, 4)] == [2, 3, 2, 3, 2]


def test_a_pinned_kernel_gets_its_config_wherever_it_is_looked_up_and_only_then():
    problem = {"num_experts": 128, "top_k": 8, "dtype": "bf16"}
    before = tuned.lookup("routing", problem, 8, "NVIDIA_B200")
    with tuned.pinned({"routing": {"num_warps": 8}}):
        assert tuned.lookup("routing", problem, 8, "NVIDIA_B200")["num_warps"] == 8
        with tuned.pinned({"routing": {}}):
            assert tuned.lookup("routing", problem, 8, "NVIDIA_B200")["num_warps"] != 8
        assert tuned.lookup("routing", problem, 8, "NVIDIA_B200")["num_warps"] == 8
    assert tuned.lookup("routing", problem, 8, "NVIDIA_B200") == before


def test_what_no_kernel_has_cannot_be_pinned():
    with pytest.raises(ValueError, match="nothing"), tuned.pinned({"nothing": {}}):
        pass
