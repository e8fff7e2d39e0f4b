"""Files of an earlier version read by commands of today: every figure is as it was printed then."""

from __future__ import annotations

import json

import pytest

from tests.compatibility.recorded import OUTPUTS, copy_of_data, differences, printed, versions

RECORDED = sorted(OUTPUTS.glob("*.json"))


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy_of_data(tmp_path_factory.mktemp("outputs")))
        yield


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_command_prints_what_it_printed_then(path):
    recorded = json.loads(path.read_text(encoding="utf-8"))
    if recorded.pop("versions", None) not in (None, versions()):
        pytest.skip("recorded with another Triton or driver, which this output tells")
    assert differences(printed(*recorded["command"], **recorded["environment"]), recorded) == []
