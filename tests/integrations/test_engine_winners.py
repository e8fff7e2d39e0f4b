from __future__ import annotations

import json

import pytest

from tests.integrations.results_for_experts import CONFIG, FUSED, UNFUSED, a_row, kept, write
from workbench.base.errors import InputError
from workbench.integrations.engine_winners import collect_winners


def rows_of(folder, evidence="measured"):
    (winners,) = collect_winners([folder], "NVIDIA_B200", evidence=evidence)
    return winners.rows


def test_a_row_of_the_engines_variant_serves_itself(tmp_path):
    write(tmp_path, {8: a_row()})
    row = rows_of(tmp_path)[8]
    assert (row.config, row.time_us, row.default_time_us) == (CONFIG, 20.0, 30.0)


def test_where_another_variant_won_the_row_keeps_the_best_of_the_engines(tmp_path):
    write(tmp_path, {8: a_row(config=FUSED, extra=kept())})
    row = rows_of(tmp_path)[8]
    assert (row.config, row.time_us, row.ci_us) == (CONFIG, 25.0, (24.0, 26.0))


def test_a_row_that_keeps_none_is_named(tmp_path):
    write(tmp_path, {4: a_row(), 8: a_row(config=FUSED)})
    (winners,) = collect_winners([tmp_path], "NVIDIA_B200")
    assert (list(winners.rows), winners.without_variant) == ([4], (8,))


def test_modelled_and_replayed_rows_count_only_where_they_are_admitted(tmp_path):
    rows = {
        tokens: a_row(evidence=kind) for tokens, kind in enumerate(("measured", "modelled", "replayed"), 1)
    }
    write(tmp_path, rows)
    assert list(rows_of(tmp_path)) == [1]
    assert list(rows_of(tmp_path, "modelled")) == [1, 2]


def test_of_several_folders_the_first_with_rows_decides(tmp_path):
    write(tmp_path / "a", {8: a_row(evidence="modelled")})
    write(tmp_path / "b", {4: a_row(time_us=1.0)})
    write(tmp_path / "c", {2: a_row(time_us=2.0)})
    folders = [tmp_path / name for name in "abc"]
    (winners,) = collect_winners(folders, "NVIDIA_B200")
    assert list(winners.rows) == [4]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"config": 5}, "rows.8.engine.config"),
        ({"config": {**UNFUSED, "BLOCK_SIZE_M": "16"}}, "rows.8.engine.config.BLOCK_SIZE_M"),
        ({"config": {**UNFUSED, "num_warps": True}}, "rows.8.engine.config.num_warps"),
        ({"config": FUSED}, "rows.8.engine.config.fuse_activation"),
        ({"time_us": -1}, "rows.8.engine.time_us"),
        ({"default_time_us": "fast"}, "rows.8.engine.default_time_us"),
    ],
)
def test_a_damaged_part_is_named_with_file_and_key(tmp_path, changes, key):
    path = write(tmp_path, {8: a_row(config=FUSED, extra=kept(**changes))})
    with pytest.raises(InputError) as error:
        rows_of(tmp_path)
    assert str(error.value).startswith(f"{path}: {key}: damaged: ")


def test_a_file_that_speaks_of_another_device_is_damaged(tmp_path):
    path = write(tmp_path)
    path.write_text(path.read_text().replace('"NVIDIA B200"', '"../../../etc/NVIDIA B200"'))
    with pytest.raises(InputError, match="device_name: damaged: is"):
        rows_of(tmp_path)


def test_a_missing_parameter_is_named(tmp_path):
    path = write(tmp_path)
    record = json.loads(path.read_text())
    del record["rows"]["8"]["config"]["num_stages"]
    path.write_text(json.dumps(record))
    with pytest.raises(
        InputError, match=r"rows\.8\.config\.num_stages: damaged: must be an integer, got 'None'"
    ):
        rows_of(tmp_path)
