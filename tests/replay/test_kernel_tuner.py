from __future__ import annotations

import gzip
import json
import math

import pytest

from tests.support.recordings import PARAMETERS, kernel_tuner, milliseconds, write
from workbench.base.errors import InputError
from workbench.replay import read_landscapes
from workbench.trials.trial import Status


@pytest.fixture(params=["plain.json", "packed.json.gz"])
def path(request, tmp_path):
    return tmp_path / request.param


def test_every_config_has_its_recorded_time_in_microseconds(path):
    (landscape,) = read_landscapes(write(path, kernel_tuner()))
    assert len(landscape.table) == math.prod(map(len, PARAMETERS.values()))
    for row, config in enumerate(landscape.table):
        expected = milliseconds(config)
        if isinstance(expected, str):
            assert math.isnan(landscape.times_us[row])
            assert landscape.failures[row].status is Status.CRASHED
            assert expected in landscape.failures[row].reason
        else:
            assert landscape.times_us[row] == pytest.approx(1000 * expected)
            assert row not in landscape.failures


def test_the_recording_names_device_kernel_and_problem(path):
    (landscape,) = read_landscapes(write(path, kernel_tuner(size=(100, 200))))
    assert (landscape.device, landscape.kernel) == ("NVIDIA_RTX_A4000", "stencil")
    assert landscape.problem == {"size_x": 100, "size_y": 200}
    assert [axis.ladder for axis in landscape.axes] == [True, False]


def test_parameters_get_the_kinds_that_their_values_show(path):
    (landscape,) = read_landscapes(write(path, kernel_tuner()))
    kinds = {parameter.name: parameter.kind for parameter in landscape.parameters}
    assert kinds == {
        "block": "numeric",
        "tile": "numeric",
        "unroll": "binary",
        "layout": "categorical",
        "one": "numeric",
    }


def test_a_level_zero_among_several_makes_a_parameter_categorical(path):
    top = kernel_tuner()
    top["tune_params"] = {**PARAMETERS, "tile": [0, 2, 4]}
    top["cache"] = {
        key.replace(",1,", ",0,", 1): {**entry, "tile": 0 if entry["tile"] == 1 else entry["tile"]}
        for key, entry in top["cache"].items()
    }
    top["cache"] = {
        ",".join(str(entry[name]) for name in PARAMETERS): entry for entry in top["cache"].values()
    }
    (landscape,) = read_landscapes(write(path, top))
    assert {each.name: each.kind for each in landscape.parameters}["tile"] == "categorical"


@pytest.mark.parametrize(
    "name, status",
    [
        ("CompilationFailedConfig", Status.COMPILE_ERROR),
        ("InvalidConfig", Status.PRUNED),
        ("RuntimeFailedConfig", Status.CRASHED),
        ("SomethingNew", Status.CRASHED),
    ],
)
def test_a_failure_keeps_how_it_failed(path, name, status):
    times = iter([1.0, name])
    (landscape,) = read_landscapes(write(path, kernel_tuner(time=lambda config: next(times, 2.0))))
    assert landscape.failures[1].status is status


def one_entry(**changed):
    top = kernel_tuner()
    key = next(iter(top["cache"]))
    top["cache"][key] = {**top["cache"][key], **changed}
    return top


@pytest.mark.parametrize(
    "top, told",
    [
        ([], "is no recording"),
        ({"schema": "x"}, "is no recording"),
        (kernel_tuner(cache=None), "cache: wrong schema: is missing"),
        (kernel_tuner(cache={}), "cache: holds no config"),
        (kernel_tuner(cache=[1]), "cache: wrong schema: must be a mapping"),
        (kernel_tuner(kernel_name=None), "kernel_name: wrong schema: is missing"),
        (kernel_tuner(kernel_name="../../etc"), "kernel_name: '../../etc' is no name"),
        (kernel_tuner(device_name=7), "device_name: wrong schema: must be a string"),
        (kernel_tuner(device_name="../x"), "device_name:"),
        (kernel_tuner(problem_size=[0]), "problem_size: wrong schema"),
        (kernel_tuner(problem_size="big"), "problem_size: wrong schema"),
        (kernel_tuner(tune_params_keys=["block"]), "tune_params_keys: wrong schema"),
        (kernel_tuner(tune_params={**PARAMETERS, "tile": []}), "tune_params.tile: wrong schema"),
        (one_entry(time=-1.0), "a time must be positive and finite, got -1.0"),
        (one_entry(time=0), "a time must be positive and finite, got 0.0"),
        (one_entry(time=None), "time must be milliseconds or the name of a failure"),
        (one_entry(time=True), "time must be milliseconds or the name of a failure"),
        (one_entry(block=128), "the key does not match its values"),
        (one_entry(block=99), "which tune_params does not list"),
        (kernel_tuner(time=lambda config: "RuntimeFailedConfig"), "every config of the recording failed"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_file_and_key(path, top, told):
    with pytest.raises(InputError) as caught:
        read_landscapes(write(path, top))
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_time_that_is_not_finite_is_refused(tmp_path, constant):
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(one_entry(time=12345.5)).replace("12345.5", constant))
    with pytest.raises(InputError, match="finite"):
        read_landscapes(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_a_truncated_recording_is_refused(tmp_path, share, suffix):
    content = json.dumps(kernel_tuner()).encode()
    content = gzip.compress(content) if suffix == ".json.gz" else content
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="truncated"):
        read_landscapes(path)


def test_a_file_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_landscapes(tmp_path / "none.json")
