from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import pytest

from moe_kernels.registry import TUNABLES
from moe_kernels.tunable import Parameter
from tests.integrations.engine_loaders import needs_wheels, wheel
from tests.integrations.results_for_experts import CONFIG, PROBLEM, UNFUSED
from tests.integrations.stand_in_engines import stand_in_engines
from workbench.base.errors import InputError
from workbench.integrations.engines import ENGINES
from workbench.integrations.import_tables import import_seeds
from workbench.integrations.raw_tables import read_tables
from workbench.integrations.seed_groups import seed_groups
from workbench.integrations.seeds_file import Seed, Seeds, read_seeds, seeds_text
from workbench.sweep.plan import make_plans
from workbench.sweep.seeds import seed_groups as groups_of_sweep
from workbench.sweep.spec import load_spec

NAME = "E=128,N=704,device_name=NVIDIA_H200.json"


def write(folder, name=NAME, content=None):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content or {"1": CONFIG, "64": CONFIG}))
    return path


def seeds_of(path, engine="vllm", **options):
    return import_seeds(ENGINES[engine], read_tables(path), **options).seeds.rows


def test_a_row_is_a_seed_of_every_hidden_size_and_top_k(tmp_path):
    first, second = seeds_of(write(tmp_path))
    assert first.problem == {"num_experts": 128, "intermediate_size": 704, "dtype": "bf16", "tokens": 1}
    assert (second.problem["tokens"], first.config, first.device) == (64, UNFUSED, "NVIDIA_H200")
    assert first.is_for({**PROBLEM, "tokens": 1})
    assert first.is_for({**PROBLEM, "hidden_size": 4096, "top_k": 2, "tokens": 1})
    assert not first.is_for({**PROBLEM, "num_experts": 64, "tokens": 1})


def test_sglang_s_four_bit_size_is_read_in_elements(tmp_path):
    path = write(tmp_path, "E=128,N=352,device_name=NVIDIA_H200,dtype=int4_w4a16.json")
    assert {seed.problem["intermediate_size"] for seed in seeds_of(path, "sglang")} == {704}


def test_what_a_row_does_not_say_is_triton_s_default(tmp_path):
    row = {key: CONFIG[key] for key in list(CONFIG)[:4]}
    (seed,) = seeds_of(write(tmp_path, content={"1": row}))
    assert (seed.config["num_warps"], seed.config["num_stages"]) == (4, 3)


def test_keys_of_other_gpus_are_not_taken_over(tmp_path):
    row = {**CONFIG, "waves_per_eu": 2}
    (seed,) = seeds_of(write(tmp_path, content={"triton_version": "3.6.0", "1": row}))
    assert seed.config == UNFUSED


def test_a_folder_and_a_wheel_give_the_same_seeds(tmp_path):
    write(tmp_path / "folder", "vllm/configs/" + NAME)
    write(tmp_path / "folder", "vllm/configs/" + NAME.replace("704", "352"))
    with zipfile.ZipFile(tmp_path / "vllm.whl", "w") as archive:
        for path in (tmp_path / "folder").rglob("*.json"):
            archive.write(path, path.relative_to(tmp_path / "folder"))
    assert seeds_of(tmp_path / "folder") == seeds_of(tmp_path / "vllm.whl")
    assert len(seeds_of(tmp_path / "vllm.whl")) == 4


def test_only_what_is_asked_for_is_imported(tmp_path):
    write(tmp_path)
    write(tmp_path, NAME.replace("H200", "B200"))
    write(tmp_path, NAME.replace("704", "352"))
    assert {seed.device for seed in seeds_of(tmp_path, device="NVIDIA_B200")} == {"NVIDIA_B200"}
    assert len(seeds_of(tmp_path, axes={"intermediate_size": 352, "top_k": 8})) == 2


def test_of_a_folder_what_the_engine_could_not_read_is_left_out_and_named(tmp_path):
    write(tmp_path)
    broken = write(tmp_path, NAME.replace("704", "352"), {"triton_version": "3.6.0", "1": CONFIG})
    imported = import_seeds(ENGINES["sglang"], read_tables(tmp_path))
    assert len(imported.seeds.rows) == 2
    ((path, reason),) = imported.unreadable
    assert path == str(broken)
    assert reason.startswith("triton_version: is no token count; SGLang reads every key at the top as one")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            NAME,
            {"1": {**CONFIG, "BLOCK_SIZE_M": "16"}},
            "1.BLOCK_SIZE_M: must be a positive integer, got '16'",
        ),
        (
            NAME,
            {"1": {**CONFIG, "num_stages": 10**300}},
            "1.num_stages: must be a positive integer, got '1000",
        ),
        (NAME, {"1": {**CONFIG, "tuned_by": 1}}, "1.tuned_by: is no key of vLLM's"),
        (NAME, {"1": CONFIG, "note": "x"}, "note: is no token count; vLLM reads every key at the top as one"),
        (NAME, {"1": 5}, "1: must be an object with a config"),
        (NAME, {"triton_version": "3.6.0"}, "holds no row"),
        ("table.json", {"1": CONFIG}, "its name is none that vLLM looks for"),
        (NAME.replace(".json", ",dtype=int8_w8a16.json"), {"1": CONFIG}, "no seeds: "),
    ],
)
def test_a_single_file_that_cannot_be_read_is_one_line_with_file_and_key(tmp_path, name, content, message):
    path = write(tmp_path, name, content)
    with pytest.raises(InputError) as error:
        seeds_of(path)
    assert message in str(error.value)
    assert name in str(error.value)


def test_a_folder_without_tables_is_an_error(tmp_path):
    with pytest.raises(InputError, match="holds no table"):
        seeds_of(tmp_path)
    with pytest.raises(InputError, match="is no file, folder or wheel"):
        seeds_of(tmp_path / "nowhere")


def test_a_damaged_wheel_is_an_error(tmp_path):
    (tmp_path / "vllm.whl").write_bytes(b"PK not a zip")
    with pytest.raises(InputError, match="is no wheel"):
        seeds_of(tmp_path / "vllm.whl")


def test_a_seeds_file_reads_back(tmp_path):
    seeds = Seeds("experts", seeds_of(write(tmp_path)))
    path = tmp_path / "seeds.json"
    path.write_text(seeds_text(seeds))
    assert read_seeds(path) == seeds


def test_seeds_take_their_open_axes_from_a_problem(tmp_path):
    seeds = Seeds("experts", (*seeds_of(write(tmp_path)), Seed("other", "X", {"num_experts": 8}, UNFUSED)))
    found = seeds.open_axes({**PROBLEM, "tokens": 16})
    assert [problem for _, problem in found] == [{**PROBLEM, "tokens": 1}, {**PROBLEM, "tokens": 64}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "workbench.seeds/9"}, "schema: must be workbench.seeds/1, got 'workbench.seeds/9'"),
        ({"rows": [{"source": "x"}]}, "rows[0]: object missing required field `device`"),
        ({"note": 1}, "object contains unknown field `note`"),
        ({"kernel": 5}, "kernel: expected `str`, got `int`"),
    ],
)
def test_a_wrong_seeds_file_is_one_line_with_file_and_key(tmp_path, changes, message):
    path = tmp_path / "seeds.json"
    record = json.loads(seeds_text(Seeds("experts", (Seed("x", "X", {"tokens": 1}, UNFUSED),))))
    path.write_text(json.dumps({**record, **changes}))
    with pytest.raises(InputError) as error:
        read_seeds(path)
    assert str(error.value) == f"{path}: {message}"


@pytest.mark.parametrize("text", ["", "{", "\x00", '{"rows'])
def test_a_damaged_seeds_file_is_an_error(tmp_path, text):
    (tmp_path / "seeds.json").write_text(text)
    with pytest.raises(InputError, match="is not JSON"):
        read_seeds(tmp_path / "seeds.json")


@needs_wheels
@pytest.mark.parametrize(("engine", "tables", "seeds"), [("vllm", 300, 5000), ("sglang", 380, 5000)])
def test_the_shipped_tables_are_imported_whole(engine, tables, seeds):
    imported = import_seeds(ENGINES[engine], read_tables(wheel(engine)))
    assert len(imported.tables) >= tables
    assert len(imported.seeds.rows) >= seeds


def a_kernel(**parameters):
    routing = TUNABLES["routing"]
    return replace(routing, name="experts", parameters=tuple(Parameter(*each) for each in parameters.items()))


def test_a_search_gets_each_row_as_a_winner_of_its_own_problem(tmp_path):
    seeds = Seeds("experts", seeds_of(write(tmp_path)))
    kernel = a_kernel(**dict.fromkeys(UNFUSED, 1), split_k=1)
    groups = seed_groups(seeds, [{**PROBLEM, "tokens": 2}, {**PROBLEM, "tokens": 4}], kernel)
    on_h200 = {"device": "NVIDIA_H200", **PROBLEM}
    assert [group.problem for group in groups] == [{**on_h200, "tokens": 1}, {**on_h200, "tokens": 64}]
    (row,) = groups[0].rows
    assert (row.config, row.time_us, row.chosen) == ({**UNFUSED, "split_k": 1}, None, True)


def test_an_engine_s_own_kernel_takes_seeds_of_the_experts(tmp_path):
    seeds = Seeds("experts", seeds_of(write(tmp_path)))
    kernel = replace(a_kernel(**dict.fromkeys(CONFIG, 0)), name="sglang_fused_moe")
    assert {
        group.rows[0].config["num_stages"] for group in seed_groups(seeds, [PROBLEM | {"tokens": 1}], kernel)
    } == {5}


def test_seeds_of_another_kernel_are_refused(tmp_path):
    seeds = Seeds("experts", seeds_of(write(tmp_path)))
    with pytest.raises(InputError, match="the seeds are for 'experts', the sweep is for 'routing'"):
        seed_groups(seeds, [PROBLEM], TUNABLES["routing"])
    with pytest.raises(InputError, match="'BLOCK_SIZE_M' is no parameter of experts"):
        seed_groups(seeds, [PROBLEM | {"tokens": 1}], a_kernel(num_warps=1))


def test_a_sweep_takes_a_seeds_file(tmp_path):
    seeds = tmp_path / "h200.seeds.json"
    seeds.write_text(seeds_text(Seeds("experts", seeds_of(write(tmp_path)))))
    problems = ", ".join(f"{axis}: {value}" for axis, value in PROBLEM.items())
    sweep = tmp_path / "sweep.yaml"
    sweep.write_text(
        f"name: engine\nkernel: vllm.fused_moe\ndevice: b200\nseeds: {seeds.name}\n"
        f"problems: {{{problems}, tokens: [8]}}\nspace: {{num_warps: [4]}}\n"
    )
    with stand_in_engines():
        (plan,) = make_plans(load_spec(sweep), "auto", out=tmp_path, jobs=1)
        groups = groups_of_sweep(plan)
    assert [group.problem["tokens"] for group in groups] == [1, 64]
    assert all(group.rows[0].chosen and group.rows[0].config == CONFIG for group in groups)
