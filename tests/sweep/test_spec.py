from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.base.errors import InputError
from workbench.sweep.spec import load_spec, resolve_kernel, resolved

DESIGN_EXAMPLE = """\
name: routing-b200
kernel: routing                     # or package.module:NAME, an importable kernel of your own
device: NVIDIA_B200                 # or auto, or a list
problems: {num_experts: [128], top_k: [8], dtype: [bf16], tokens: [1, 2, 4, 8, 16]}
space: {num_warps: [1, 2, 4], algorithm: [sort, topk, select], tokens_per_program: [1, 2, 4]}
constraints: ["tokens_per_program <= tokens"]
search: {strategy: exhaustive, trials: 400, seed: 0}
measure: {relative_ci: 0.01, routing: uniform}
verify: {seeds: 3}
"""

LINES = {"name": 1, "kernel": 2, "device": 3, "problems": 4, "space": 5, "constraints": 6}


@pytest.fixture
def complaint(load):
    def of(**replaced):
        with pytest.raises(InputError) as caught:
            load(**replaced)
        assert caught.value.file.name == "sweep.yaml"
        assert caught.value.line == LINES.get(next(iter(replaced)), 7)
        return f"{caught.value.key}: {caught.value.message}"

    return of


def test_the_example_of_the_design_fits_the_routing_kernel(tmp_path):
    path = tmp_path / "routing.yaml"
    path.write_text(DESIGN_EXAMPLE)
    loaded = load_spec(path)
    assert resolve_kernel(loaded).name == "routing"
    assert loaded.spec.search.trials == 400


def test_what_a_file_leaves_out_has_a_default(load):
    spec = load().spec
    assert (spec.search.strategy, spec.measure.routing, spec.verify.seeds) == ("auto", ("uniform",), 3)


def test_a_scalar_stands_for_a_list_of_one(load):
    spec = load(problems="{rows: 4, dtype: bf16}", space="{block: 2}", constraints="block < rows").spec
    assert (spec.problems["rows"], spec.space["block"], spec.device) == ((4,), (2,), ("auto",))
    assert spec.constraints == ("block < rows",)


def test_the_resolved_sweep_is_json_and_equal_for_files_that_mean_the_same(load):
    one = resolved(load(problems="{rows: [0x4], dtype: bf16}"))
    other = resolved(load(problems="{rows: 4, dtype: [bf16]}", verify="{seeds: 3}"))
    assert json.loads(json.dumps(one)) == one == other


def test_a_device_file_is_sought_beside_the_sweep_file(load, tmp_path):
    devices = load(device="[NVIDIA_B200, mine.yaml, /elsewhere/my.yml]").devices
    assert devices == ("NVIDIA_B200", str(tmp_path / "mine.yaml"), "/elsewhere/my.yml")


def test_the_command_line_overrides_the_file(load):
    changed = load().override(device="rtx5090", trials=7, seed=3)
    assert (changed.devices, changed.spec.search.trials, changed.spec.search.seed) == (("rtx5090",), 7, 3)
    assert load().override(device="mine.yaml").devices == (str(Path.cwd() / "mine.yaml"),)
    assert load().override() == load()


def test_an_override_out_of_range_names_the_option(load):
    with pytest.raises(InputError, match="--trials: must be greater than or equal to 1, got 0"):
        load().override(trials=0)


@pytest.mark.parametrize("name", ["a/b", "/a", '".."', '""', ".hidden", "a b", "'a\\b'", "-x", "x" * 65, "ä"])
def test_a_name_that_is_no_plain_word_is_refused(complaint, name):
    assert "letters, digits" in complaint(name=name)


@pytest.mark.parametrize("name", ["routing-b200", "a", "7", "x" * 64, "v1.2_final"])
def test_a_plain_word_is_a_name(load, name):
    assert load(name=f"'{name}'").spec.name == name


@pytest.mark.parametrize("kernel", ["../toy.py", "a.b.c", "a:b:c", "':NAME'", '""', "a b", "'a.b:'"])
def test_what_names_no_kernel_is_refused(complaint, kernel):
    assert "package.module:NAME" in complaint(kernel=kernel)


@pytest.mark.parametrize(
    ("replaced", "told"),
    [
        ({"serach": "{}"}, "serach: unknown key (did you mean 'search'?); allowed: name, kernel"),
        ({"search": "{trial: 1}"}, "search.trial: unknown key (did you mean 'trials'?)"),
        ({"search": "{trials: 0}"}, "search.trials: must be greater than or equal to 1"),
        (
            {"search": "{strategy: grid}"},
            "search.strategy: must be 'auto', 'optuna', 'random', 'exhaustive' or 'ranked'",
        ),
        ({"measure": "{relative_ci: 1}"}, "measure.relative_ci: must be less than 1"),
        ({"measure": "{routing: even}"}, "is no routing; allowed: uniform, zipf"),
        ({"measure": "{relative_ci: .nan}"}, "measure.relative_ci"),
        ({"verify": "{seeds: true}"}, "verify.seeds: must be an integer, got true"),
        ({"device": "[]"}, "device: is empty"),
        ({"device": "[b200, b200]"}, 'device[1]: "b200" (a string) is listed twice'),
        ({"device": "5"}, "device: must be a string"),
        ({"problems": "{rows: 4}"}, "problems: axis 'dtype' is missing; toy has dtype, rows"),
        ({"problems": "{rows: 4, dtyp: bf16}"}, "problems.dtyp: unknown axis (did you mean 'dtype'?)"),
        ({"problems": "{rows: 0, dtype: bf16}"}, "problems.rows: must be a positive integer, got 0"),
        ({"problems": "{rows: [4, x], dtype: bf16}"}, "problems.rows[1]: must be a positive integer"),
        (
            {"problems": "{rows: true, dtype: bf16}"},
            "problems.rows: must be an integer or a string, got true",
        ),
        ({"problems": "{rows: [4, 4], dtype: bf16}"}, "problems.rows[1]: 4 (an integer) is listed twice"),
        ({"problems": "{rows: [], dtype: bf16}"}, "problems.rows: is empty"),
        ({"problems": "{rows: 4, dtype: bf17}"}, "problems.dtype: must be one of bf16, fp16, fp32"),
        (
            {"space": "{blok: 1}"},
            "space.blok: unknown parameter (did you mean 'block'?); allowed: block, mode",
        ),
        ({"space": "{block: [1, 2.0]}"}, "space.block[1]: must be an integer, got 2.0"),
        ({"space": "{block: [true]}"}, "space.block[0]: must be an integer, a number or a string, got true"),
        ({"space": "{mode: [1]}"}, "space.mode[0]: must be a string, got 1"),
        ({"space": "{scale: [1]}"}, "space.scale[0]: must be a number with a decimal point, got 1"),
        ({"space": "{block: []}"}, "space.block: is empty"),
        ({"space": "{block: [1, 1]}"}, "space.block[1]: 1 (an integer) is listed twice"),
        ({"constraints": "[5]"}, "constraints[0]: must be a string"),
        ({"constraints": '["block < 2", "open(1)"]'}, "constraints[1]: constraint 'open(1)': holds a call"),
        (
            {"constraints": '["blok < 2"]'},
            "unknown variable 'blok' (did you mean 'block'?); the variables are",
        ),
    ],
)
def test_what_the_file_may_not_hold_is_named_with_what_is_allowed(complaint, replaced, told):
    assert told in complaint(**replaced)


def test_a_value_of_the_right_type_that_the_kernel_cannot_take_is_no_error(load):
    assert load(space="{mode: [odd], block: [-3]}").spec.space["mode"] == ("odd",)


def _resolve(sweep_file, kernel):
    with pytest.raises(InputError) as caught:
        resolve_kernel(load_spec(sweep_file(kernel=kernel)))
    assert (caught.value.line, caught.value.key) == (2, "kernel")
    return caught.value.message


def test_an_unknown_kernel_is_answered_with_those_that_exist(sweep_file):
    message = _resolve(sweep_file, "rooting")
    assert "did you mean 'routing'" in message
    assert "package.module:NAME" in message


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (None, "No module named"),
        ("import no_such_module_at_all", "no_such_module_at_all"),
        ("this is no python", "SyntaxError"),
        ("raise SystemExit(5)", "exits Python (5)"),
        ("1 / 0", "division by zero"),
        ("OTHER = 1", "nothing of that name"),
        ("KERNEL = 1", "found a int"),
    ],
)
def test_a_kernel_of_ones_own_that_cannot_be_had_is_one_error(
    sweep_file, tmp_path, monkeypatch, request, source, told
):
    module = f"own_kernel_{abs(hash(request.node.name))}"
    monkeypatch.syspath_prepend(tmp_path)
    if source is not None:
        (tmp_path / f"{module}.py").write_text(source)
    assert told in _resolve(sweep_file, f"{module}:KERNEL")


OWN_KERNEL = """\
from moe_kernels.tunable import Axis, Parameter, TunableKernel

def never(*arguments):
    raise AssertionError

KERNEL = TunableKernel(
    name={name!r}, axes=(Axis("rows", "R", ladder=True),), parameters=(Parameter({parameter!r}, 1),),
    kernels=(), make_inputs=never, make_outputs=never, launches=never, reference=never, traffic=never,
)
"""


def test_a_kernel_of_ones_own_is_found_in_the_current_folder(sweep_file, tmp_path):
    (tmp_path / "my_kernels.py").write_text(OWN_KERNEL.format(name="mine", parameter="block"))
    path = sweep_file(kernel="my_kernels:KERNEL", problems="{rows: 4}", space="{block: 2}")
    code = f"from workbench.sweep.spec import *; print(resolve_kernel(load_spec({str(path)!r})).name)"
    paths = [str(Path(__file__).parents[2]), str(Path(__file__).parents[2] / "kernels")]
    code = f"import sys; sys.path = {paths!r} + [each for each in sys.path if each]; {code}"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "mine\n"


@pytest.mark.parametrize(("name", "parameter"), [("../mine", "block"), ("mine", "rows")])
def test_a_kernel_that_describes_itself_badly_is_refused(sweep_file, tmp_path, monkeypatch, name, parameter):
    monkeypatch.syspath_prepend(tmp_path)
    module = f"bad_kernel_{parameter}"
    (tmp_path / f"{module}.py").write_text(OWN_KERNEL.format(name=name, parameter=parameter))
    message = _resolve(sweep_file, f"{module}:KERNEL")
    assert "must be letters, digits" in message or "both an axis and a parameter" in message


def test_reading_a_sweep_file_needs_no_torch(sweep_file, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    code = f"import sys; from workbench.sweep.spec import *; load_spec({str(sweep_file())!r})"
    code += "; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


_leaf = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=5)
_any = _leaf | st.lists(_leaf, max_size=3) | st.dictionaries(st.text(max_size=5), _leaf, max_size=3)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(key=st.sampled_from([*LINES, "search", "measure", "verify", "other"]), value=_any)
def test_any_value_of_any_key_loads_or_is_one_clear_error(load, key, value):
    try:
        load(**{key: json.dumps(value)})
    except InputError as error:
        assert error.line
        assert "\n" not in str(error)
