from __future__ import annotations

import json

import pytest

from tests.integrations.engine_loaders import loader, needs_wheels
from tests.integrations.results_for_experts import CONFIG, FUSED, UNFUSED, a_row, a_run, kept, write
from workbench.base.errors import InputError
from workbench.devices import find_device
from workbench.integrations.engine_table import nearest
from workbench.integrations.engine_winners import collect_winners
from workbench.integrations.engines import CONFIG_KEYS, ENGINES, LADDER, TableName
from workbench.integrations.export import make_tables, write_tables
from workbench.integrations.lint import lint_tables
from workbench.integrations.raw_tables import read_tables

VLLM, SGLANG = ENGINES["vllm"], ENGINES["sglang"]
DEVICE = find_device("b200")
STEM = "E=128,N=704,device_name=NVIDIA_B200"


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def export(engine, results, out, *, device=DEVICE, evidence="measured"):
    winners = collect_winners([results], device.slug, evidence=evidence)
    tables = make_tables(engine, winners, device)
    write_tables(engine, tables, device.device_name, out)
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def rows_in(path):
    return {int(key): row for key, row in json.loads(path.read_text()).items()}


def test_vllm_gets_one_flat_folder(results, out):
    write(results)
    assert export(VLLM, results, out) == [f"{STEM}.json", "provenance.json"]


def test_sglang_gets_a_folder_of_its_triton_a_second_table_and_provenance_outside(results, out):
    write(results)
    folder = "configs/triton_3_6_0"
    assert export(SGLANG, results, out) == [
        f"{folder}/{STEM}.json",
        f"{folder}/{STEM}_down.json",
        "provenance.json",
    ]
    up, down = rows_in(out / folder / f"{STEM}.json"), rows_in(out / folder / f"{STEM}_down.json")
    assert {tokens: row["BLOCK_SIZE_M"] for tokens, row in up.items()} == {
        tokens: row["BLOCK_SIZE_M"] for tokens, row in down.items()
    }


def test_sglang_may_ask_for_fp8_weights_with_a_scale_a_channel_under_a_name_of_its_own(results, out):
    write(results, problem={"dtype": "fp8_w8a8"})
    names = {path.rpartition("/")[2] for path in export(SGLANG, results, out)} - {"provenance.json"}
    stem = f"{STEM},dtype=fp8_w8a8"
    channel = f"{stem},per_channel_quant=True"
    assert names == {f"{each}{down}.json" for each in (stem, channel) for down in ("", "_down")}
    assert len({path.read_text() for path in out.rglob("E=*.json")}) == 1


def test_a_table_holds_nothing_but_ascending_counts_and_the_six_keys(results, out):
    write(results, {1: a_row(), 8: a_row(), 5000: a_row()})
    export(VLLM, results, out)
    keys = list(json.loads((out / f"{STEM}.json").read_text()))
    assert keys == sorted(keys, key=int)
    assert {1, 8, 4096, 5000} <= {int(key) for key in keys}
    assert all(tuple(row) == CONFIG_KEYS for row in rows_in(out / f"{STEM}.json").values())


@pytest.mark.parametrize("engine", ENGINES.values(), ids=list(ENGINES))
def test_what_was_not_measured_is_pinned_to_the_engine_s_default(results, out, engine):
    write(results, {8: a_row()})
    export(engine, results, out)
    table = rows_in(next(out.rglob(f"{STEM}.json")))
    assert set(LADDER) <= table.keys()
    assert table.pop(8) == CONFIG
    problem = {"num_experts": 128, "top_k": 8, "dtype": "bf16"}
    assert table == {tokens: engine.default_config(problem, tokens, DEVICE) for tokens in table}


def test_far_from_winners_every_batch_gets_the_default_that_it_would_get_without_a_table(results, out):
    problem = {"num_experts": 128, "top_k": 8, "dtype": "bf16"}
    write(results, {8: a_row()})
    export(VLLM, results, out)
    table = rows_in(out / f"{STEM}.json")
    for tokens in [*range(20, 5000), 16511, 16512, 30000]:
        assert table[nearest(table, tokens)] == VLLM.default_config(problem, tokens, DEVICE)


def test_between_two_winners_no_default_is_put(results, out):
    write(results, {32: a_row(), 48: a_row()})
    export(VLLM, results, out)
    assert not {33, 34} & rows_in(out / f"{STEM}.json").keys()


def test_modelled_rows_are_left_out_unless_they_are_asked_for(results, out):
    write(results, {4: a_row(), 8: a_row(evidence="modelled", ci_us=None)})
    export(VLLM, results, out)
    assert rows_in(out / f"{STEM}.json")[8] != CONFIG
    export(VLLM, results, out, evidence="modelled")
    assert rows_in(out / f"{STEM}.json")[8] == CONFIG
    record = json.loads((out / "provenance.json").read_text())["files"][f"{STEM}.json"]["rows"]
    assert (record["4"]["timed"], record["8"]["timed"], record["8"]["origin"]) == (True, False, "modelled")


def test_the_best_row_of_the_engines_variant_is_exported_where_another_won(results, out):
    write(results, {8: a_row(config=FUSED, extra=kept())})
    export(VLLM, results, out)
    assert rows_in(out / f"{STEM}.json")[8] == CONFIG
    record = json.loads((out / "provenance.json").read_text())["files"][f"{STEM}.json"]["rows"]["8"]
    assert (record["time_us"], record["default_time_us"], record["versions"]["triton"]) == (
        25.0,
        30.0,
        "3.6.0",
    )


def test_the_engine_s_own_choice_in_a_config_is_resolved(results, out):
    write(results, {8: a_row(config={**UNFUSED, "num_warps": 0, "BLOCK_SIZE_N": 0})})
    export(VLLM, results, out)
    assert rows_in(out / f"{STEM}.json")[8] == {**CONFIG, "num_warps": 4, "BLOCK_SIZE_N": 64}


def test_what_the_default_leaves_to_the_engine_is_left_to_it(results, out):
    row = a_row(config={**UNFUSED, "num_warps": 0, "BLOCK_SIZE_N": 0})
    write(results, {8: row}, problem={"dtype": "int4_w4a16", "group_size": 32})
    export(VLLM, results, out)
    kept = {key: value for key, value in CONFIG.items() if key not in ("num_warps", "BLOCK_SIZE_N")}
    assert rows_in(out / f"{STEM},dtype=int4_w4a16.json")[8] == {**kept, "SPLIT_K": 1}


def test_grouped_four_bit_rows_name_what_vllm_s_kernel_takes(results, out):
    write(results, {8: a_row()}, problem={"dtype": "int4_w4a16", "group_size": 32})
    export(VLLM, results, out)
    rows = rows_in(out / f"{STEM},dtype=int4_w4a16.json")
    assert rows[8] == {**CONFIG, "SPLIT_K": 1}
    assert rows[4096] == {"BLOCK_SIZE_M": 64, "GROUP_SIZE_M": 1, "SPLIT_K": 1}


def test_rows_of_two_tritons_go_into_two_folders_of_sglang(results, out):
    runs = {"run-1": a_run("3.6.0"), "run-2": a_run("3.9.0")}
    other = {**UNFUSED, "num_stages": 2}
    write(results, {8: a_row(), 16: a_row(run="run-2", config=other)}, runs=runs)
    export(SGLANG, results, out)
    older = rows_in(out / "configs/triton_3_6_0" / f"{STEM}.json")
    newer = rows_in(out / "configs/triton_3_9_0" / f"{STEM}.json")
    assert (older[8], newer[16]) == (CONFIG, {**CONFIG, "num_stages": 2})
    assert older[16] == newer[8] == SGLANG.default_config({"num_experts": 128, "dtype": "bf16"}, 8, DEVICE)


@pytest.mark.parametrize(
    "other", [{"hidden_size": 4096}, {"top_k": 4}, {"dtype": "fp16"}], ids=["hidden_size", "top_k", "fp16"]
)
def test_two_problems_with_one_file_name_are_an_error_that_names_both(results, out, other):
    first, second = write(results), write(results, problem=other)
    with pytest.raises(InputError) as error:
        export(VLLM, results, out)
    assert first.stem in str(error.value)
    assert second.stem in str(error.value)
    assert not out.exists()


def test_a_row_of_an_unknown_triton_is_an_error_that_names_the_file(results, out):
    path = write(results, runs={"run-1": a_run("nightly")})
    with pytest.raises(InputError, match=r"no version of Triton") as error:
        export(SGLANG, results, out)
    assert str(path) in str(error.value)


def test_nothing_is_left_behind_where_a_file_cannot_be_written(results, out):
    write(results)
    out.mkdir()
    (out / "provenance.json").mkdir()
    with pytest.raises(InputError, match="cannot be written: is a folder"):
        export(VLLM, results, out)
    assert [path.name for path in out.iterdir()] == ["provenance.json"]


QUANTISED = [
    {},
    {"dtype": "fp32"},
    {"dtype": "fp8_w8a8"},
    {"dtype": "fp8_w8a8", "group_size": 128},
    {"dtype": "int4_w4a16", "group_size": 32},
]
every_problem = pytest.mark.parametrize("problem", QUANTISED, ids=lambda problem: str(problem.get("dtype")))
every_engine = pytest.mark.parametrize("engine", list(ENGINES))


@every_engine
@every_problem
def test_an_export_has_nothing_that_lint_would_call_wrong(results, out, engine, problem):
    write(results, {tokens: a_row() for tokens in (1, 8, 64)}, problem=problem)
    export(ENGINES[engine], results, out)
    findings = lint_tables(read_tables(out), engine)
    assert [each for each in findings if each.severity != "note"] == []


@needs_wheels
@every_engine
@every_problem
def test_the_engine_s_own_loader_reads_every_exported_file(
    results, out, tmp_path, monkeypatch, engine, problem
):
    write(results, {1: a_row(), 8: a_row(config={**UNFUSED, "num_stages": 2})}, problem=problem)
    files = [path for path in export(ENGINES[engine], results, out) if path != "provenance.json"]
    monkeypatch.setenv(ENGINES[engine].variable, str(out))
    own = loader(engine, DEVICE.device_name, tmp_path / "package")
    for path in files:
        name = TableName.parse(path.rpartition("/")[2])
        selectors = {"per_channel_quant": name.per_channel, "down_moe": name.down}
        rows = own.get_moe_configs(
            name.num_experts,
            name.size,
            name.dtype or None,
            *(name.block_shape or (0, 0)),
            **(selectors if engine == "sglang" else {}),
        )
        assert rows == rows_in(out / path)


@needs_wheels
@pytest.mark.parametrize("engine", list(ENGINES))
@pytest.mark.parametrize("name", ["NVIDIA B200", "NVIDIA H200 NVL", "NVIDIA GeForce RTX 5090"])
@pytest.mark.parametrize(
    ("problem", "word", "block"),
    [({}, None, None), ({"dtype": "fp8_w8a8", "group_size": 128}, "fp8_w8a8", [128, 128])],
)
def test_the_engine_s_own_loader_takes_the_exported_rows(
    results, out, tmp_path, monkeypatch, engine, name, problem, word, block
):
    device = find_device(name)
    winners = {
        tokens: a_row(config={**UNFUSED, "num_stages": 2 + tokens % 3}) for tokens in (1, 2, 3, 8, 100, 2048)
    }
    write(results, winners, problem=problem, name=name, slug=device.slug)
    export(ENGINES[engine], results, out, device=device)
    monkeypatch.setenv(ENGINES[engine].variable, str(out))
    own = loader(engine, name, tmp_path / "package")
    for tokens, winner in winners.items():
        config = own.try_get_optimal_moe_config(
            (128, 1408, 2816), (128, 2816, 704), 8, word, tokens, block_shape=block
        )
        assert config == {key: winner.config[key] for key in CONFIG_KEYS}
