from __future__ import annotations

import json

import pytest

from tests.integrations.engine_loaders import loader, needs_wheels
from tests.integrations.results_for_experts import CONFIG, PROBLEM
from workbench.devices import find_device
from workbench.integrations.engine_lookup import Surroundings, look_up
from workbench.integrations.engines import ENGINES
from workbench.integrations.engines.backends import table_use

NAME = "E=128,N=704,device_name=NVIDIA_H200.json"
H200 = find_device("h200")


def table(folder, name=NAME, stages=5, content=None):
    folder.mkdir(parents=True, exist_ok=True)
    row = {**CONFIG, "num_stages": stages}
    (folder / name).write_text(json.dumps(content or {"1": row, "8": row, "16": row}))


def ask(engine, *, tokens=8, triton="3.6.0", named=None, packaged=None, device=H200, **options):
    surroundings = Surroundings(named=named, packaged=packaged, triton=triton, **options)
    return look_up(ENGINES[engine], PROBLEM, tokens, "NVIDIA H200", device, surroundings)


def test_vllm_takes_the_named_folder_before_its_package(tmp_path):
    table(tmp_path / "named", stages=2)
    table(tmp_path / "packaged", stages=3)
    answer = ask("vllm", named=tmp_path / "named", packaged=tmp_path / "packaged")
    assert answer.config["num_stages"] == 2
    assert [place.state for place in answer.places] == ["taken", "not reached"]


def test_the_nearest_row_is_taken_and_the_first_of_two_equally_near(tmp_path):
    table(tmp_path)
    assert [ask("vllm", named=tmp_path, tokens=tokens).row for tokens in (1, 4, 12, 13, 5000)] == [
        1,
        1,
        8,
        16,
        16,
    ]


def test_without_a_table_the_default_is_what_it_runs_with(tmp_path):
    answer = ask("vllm", named=tmp_path, packaged=None)
    assert (answer.table, answer.row) == (None, None)
    assert answer.config == ENGINES["vllm"].default_config(PROBLEM, 8, H200)
    assert [place.state for place in answer.places] == ["no file", "not installed"]


def test_sglang_takes_its_own_triton_s_folder_first_and_then_the_newest(tmp_path):
    for version, stages in (("3_6_0", 2), ("3_10_0", 3), ("3_9_0", 4)):
        table(tmp_path / "configs" / f"triton_{version}", stages=stages)
    assert ask("sglang", named=tmp_path).config["num_stages"] == 2
    answer = ask("sglang", named=tmp_path, triton="3.5.0")
    assert answer.config["num_stages"] == 3
    assert [place.state for place in answer.places] == ["no file", "taken", "not reached", "not reached"]


def test_sglang_looks_for_a_nightly_triton_by_its_whole_version(tmp_path):
    for version, stages in (("3_6_0", 2), ("3_10_0", 3)):
        table(tmp_path / "configs" / f"triton_{version}", stages=stages)
    assert ask("sglang", named=tmp_path, triton="3.6.0+git9844da95").config["num_stages"] == 3


@pytest.mark.parametrize("engine", list(ENGINES))
def test_a_folder_that_cannot_be_there_holds_no_file(tmp_path, engine):
    answer = ask(engine, named=tmp_path / ("x" * 300))
    assert (answer.table, answer.places[0].state) == (None, "no file")


def test_the_variable_of_sglang_names_what_holds_configs(tmp_path):
    table(tmp_path / "triton_3_6_0")
    answer = ask("sglang", named=tmp_path)
    assert answer.table is None
    assert [(place.state, place.path) for place in answer.places[1:]] == [
        ("breaks the engine", str(tmp_path / "configs"))
    ]


def test_a_folder_that_is_no_version_breaks_sglang_only_where_it_has_to_look(tmp_path):
    table(tmp_path / "configs" / "triton_3_6_0")
    (tmp_path / "configs" / "triton_main").mkdir()
    assert ask("sglang", named=tmp_path).table is not None
    assert ask("sglang", named=tmp_path, triton="3.5.0").places[-1].state == "breaks the engine"


def test_a_table_that_the_engine_cannot_read_ends_the_search(tmp_path):
    table(tmp_path / "named", content={"note": "mine", "1": CONFIG})
    table(tmp_path / "packaged")
    answer = ask("vllm", named=tmp_path / "named", packaged=tmp_path / "packaged")
    assert [place.state for place in answer.places] == ["breaks the engine", "not reached"]
    assert answer.places[0].reason.startswith("note: is no token count")


def test_batch_invariance_turns_vllm_s_tables_off(tmp_path):
    table(tmp_path)
    answer = ask("vllm", named=tmp_path, batch_invariant=True)
    assert (answer.table, answer.use.answer) == (None, "no")
    assert {place.state for place in answer.places} == {"not reached"}


@pytest.mark.parametrize(
    ("engine", "dtype", "device", "tokens", "answer"),
    [
        ("vllm", "bf16", "h200", 8, "yes"),
        ("vllm", "bf16", "b200", 8, "unless"),
        ("vllm", "bf16", "rtx5090", 8, "unless"),
        ("vllm", "bf16", "rtx4090", 8, "yes"),
        ("vllm", "fp8_w8a8", "h200", 8, "no"),
        ("vllm", "fp8_w8a8", "b200", 8, "yes"),
        ("vllm", "fp8_w8a8", "b200", 9, "no"),
        ("vllm", "int4_w4a16", "h200", 8, "no"),
        ("sglang", "bf16", "b200", 8, "yes"),
        ("sglang", "int4_w4a16", "b200", 8, "no"),
        ("vllm", "nvfp4", "b200", 8, "no"),
    ],
)
def test_whether_a_table_is_read_depends_on_the_backend(engine, dtype, device, tokens, answer):
    found = table_use(engine, dtype, find_device(device).compute_capability, tokens)
    assert found.answer == answer
    assert found.why


def test_on_an_unknown_gpu_the_backend_is_not_known(tmp_path):
    table(tmp_path)
    assert ask("vllm", named=tmp_path, device=None).use.answer == "unknown"


@needs_wheels
@pytest.mark.parametrize("engine", list(ENGINES))
def test_the_engine_s_own_loader_finds_the_same_row(engine, tmp_path, monkeypatch):
    folder = tmp_path / "configs" / "triton_3_7_1" if engine == "sglang" else tmp_path
    rows = {str(tokens): {**CONFIG, "num_stages": 2 + index} for index, tokens in enumerate((16, 1, 9, 7))}
    table(folder, content=rows)
    monkeypatch.setenv(ENGINES[engine].variable, str(tmp_path))
    own = loader(engine, "NVIDIA H200", tmp_path / "package")
    for tokens in range(1, 40):
        theirs = own.try_get_optimal_moe_config((128, 1408, 2816), (128, 2816, 704), 8, None, tokens)
        assert ask(engine, named=tmp_path, tokens=tokens).config == theirs
