"""Every table that the engines ship: read by our commands without a crash, and as the engine's own loader reads it."""

from __future__ import annotations

import json
import zipfile
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

from tests.integrations.engine_loaders import MODULES, loader, needs_wheels, wheel
from workbench.base.errors import InputError
from workbench.cli.main import main
from workbench.integrations.engine_table import read_table
from workbench.integrations.engines import ENGINES, TableName
from workbench.integrations.raw_tables import read_tables

pytestmark = needs_wheels
engines = pytest.mark.parametrize("engine", list(ENGINES))


@cache
def shipped(engine):
    return read_tables(wheel(engine))


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The folder of each engine's module, with the tables of its wheel below it."""
    folders = {}
    for engine, module in MODULES.items():
        folder = tmp_path_factory.mktemp(engine)
        with zipfile.ZipFile(wheel(engine)) as archive:
            configs = f"{Path(module).parent}/configs/"
            archive.extractall(folder, [name for name in archive.namelist() if name.startswith(configs)])
        folders[engine] = folder / Path(module).parent
    return folders


def command(*arguments):
    out = StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit) as exit_:
        main([*map(str, arguments), "--json"])
    return exit_.value.code, json.loads(out.getvalue())


@engines
def test_lint_reads_the_whole_wheel(engine):
    code, record = command("lint", wheel(engine), "--engine", engine)
    assert code in (0, 1)
    assert record["tables"] == len(shipped(engine)) > 300
    assert {each["rule"] for each in record["findings"]}.isdisjoint({"json", "value", "cannot-launch"})


@engines
def test_import_reads_the_whole_wheel(engine):
    code, record = command("import", engine, wheel(engine))
    assert code == 0
    assert len(record["tables"]) + len(record["unreadable"]) == len(shipped(engine))


@engines
def test_our_commands_read_each_table_as_the_engine_s_own_loader_does(engine, packages, monkeypatch):
    monkeypatch.delenv(ENGINES[engine].variable, raising=False)
    own = cache(lambda device, triton: loader(engine, device, packages[engine], triton=triton))
    compared = 0
    for raw in shipped(engine):
        name, triton = TableName.parse(raw.name), raw.path.parent.name.removeprefix("triton_")
        if name is None or name.backend or ENGINES[engine].file_name(name) != raw.name:
            continue
        theirs = asked(own(name.device, triton.replace("_", ".")), engine, name)
        assert theirs == ours(raw, ENGINES[engine]), raw.path
        compared += theirs is not None
    assert compared > 300


def asked(own, engine, name):
    """What the loader returns; None where it raises."""
    selectors = {"per_channel_quant": name.per_channel, "down_moe": name.down} if engine == "sglang" else {}
    try:
        return own.get_moe_configs(
            name.num_experts, name.size, name.dtype or None, *(name.block_shape or (0, 0)), **selectors
        )
    except ValueError:
        return None


def ours(raw, engine):
    try:
        return dict(read_table(raw, engine).rows)
    except InputError:
        return None
