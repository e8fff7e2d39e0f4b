"""The schemas that editors read are those of the models, and the shipped files fit them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from workbench.base.yaml import read_yaml
from workbench.cli import main as cli
from workbench.cli.schema import MODELS

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "schemas"
HEADER = "# yaml-language-server: $schema="
SHIPPED = [
    path
    for folder in ("sweeps", "workloads", "dashboards", "examples")
    for path in ROOT.glob(f"{folder}/*.yaml")
]
DEVICE = {
    "device_name": "NVIDIA L4",
    "arch": "sm_89",
    "sm_count": 58,
    "clock_ghz": 2.04,
    "l2_mib": 48,
    "memory_gib": 24,
    "bandwidth_gb_per_s": 300,
}


def validator(kind):
    return Draft202012Validator(json.loads((SCHEMAS / f"{kind}.json").read_text(encoding="utf-8")))


def named_schema(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(HEADER)
    return (path.parent / first.removeprefix(HEADER)).resolve()


@pytest.mark.parametrize("kind", MODELS)
def test_the_command_prints_the_schema_that_is_shipped(kind, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["schema", kind])
    assert ended.value.code == 0
    shipped = (SCHEMAS / f"{kind}.json").read_text(encoding="utf-8")
    assert capsys.readouterr().out == shipped, f"python -m workbench schema {kind} > docs/schemas/{kind}.json"


@pytest.mark.parametrize("kind", MODELS)
def test_a_schema_is_one_and_says_what_every_key_means(kind):
    schema = validator(kind).schema
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"{kind}.json"
    sections = [schema, *schema["$defs"].values()] if "$defs" in schema else [schema]
    for section in sections:
        assert section["additionalProperties"] is False
        # What a key refers to says itself what it is.
        texts = {key: json.dumps(value) for key, value in section["properties"].items()}
        assert [
            key for key, text in texts.items() if '"description"' not in text and "$ref" not in text
        ] == []
        assert section["description"]


def test_a_file_that_has_no_schema_is_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["schema", "sweeps"])
    assert ended.value.code == 2
    assert "did you mean 'sweep'" in capsys.readouterr().err


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_shipped_file_names_its_schema_and_fits_it(path):
    schema = named_schema(path)
    assert schema.parent == SCHEMAS
    data, check = read_yaml(path).data, validator(schema.stem)
    check.validate(data)
    assert not check.is_valid({**data, "no_such_key": 1})


@pytest.mark.parametrize(
    "kind, right, wrong",
    [
        (
            "sweep",
            {"name": "a", "kernel": "routing", "problems": {"E": 8}},
            {"name": "a", "kernel": "routing"},
        ),
        (
            "sweep",
            {"name": "a", "evaluate": {"replay": "b.json"}},
            {"name": "../a", "evaluate": {"replay": "b"}},
        ),
        ("workload", {"name": "a", "input_tokens": 1, "output_tokens": 2, "arms": "split"}, {"name": "a"}),
        ("dashboard", {"panels": {"winners": None}}, {"panels": {"winners": {"nothing": 1}}}),
        ("device", DEVICE, {**DEVICE, "arch": "ada"}),
    ],
)
def test_a_file_of_ones_own_is_judged(kind, right, wrong):
    assert validator(kind).is_valid(right)
    assert not validator(kind).is_valid(wrong)
