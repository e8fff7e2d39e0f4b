from __future__ import annotations

import pytest

from workbench.base.errors import InputError
from workbench.devices import find_device, load_device

ADA = {
    "device_name": "NVIDIA RTX 6000 Ada Generation",
    "arch": "sm_89",
    "sm_count": "142",
    "clock_ghz": "2.505",
    "l2_mib": "96",
    "memory_gib": "48",
    "bandwidth_gb_per_s": "960",
}
LIMITS = """\
limits:
  shared_kib_per_sm: 164
  shared_kib_per_block: {block}
  registers_per_sm: 65536
  max_warps_per_sm: 48
  max_blocks_per_sm: 16
  source: a guide
"""


@pytest.fixture
def written(tmp_path):
    def write(text="", **changes):
        path = tmp_path / "mine.yaml"
        keys = {key: value for key, value in {**ADA, **changes}.items() if value is not None}
        path.write_text("".join(f"{key}: {value}\n" for key, value in keys.items()) + text)
        return path

    return write


def test_a_device_of_ones_own_takes_its_limits_from_its_architecture(written):
    device = find_device(written())
    assert (device.slug, device.arch) == ("NVIDIA_RTX_6000_Ada_Generation", "sm_89")
    assert device.shared_bytes_per_block == find_device("l40s").shared_bytes_per_block
    assert (device.l2_bytes, device.bandwidth_bytes_per_s) == (96 << 20, 960e9)


def test_its_sources_say_that_the_file_gave_the_figures(written):
    path = written("sources: {l2_mib: a whitepaper}\n")
    sources = load_device(path).sources
    assert (sources["l2_bytes"], sources["sm_count"]) == ("a whitepaper", f"given in {path}")


def test_an_architecture_that_is_not_in_the_catalogue_needs_its_limits(written):
    with pytest.raises(InputError, match=r"mine.yaml:2: arch: sm_87 is not one of sm_80.*limits.*shared_kib"):
        load_device(written(arch="sm_87"))
    device = load_device(written(LIMITS.format(block=163), arch="sm_87"))
    assert (device.compute_capability, device.shared_bytes_per_block) == (87, 163 * 1024)


@pytest.mark.parametrize(
    ("changes", "line", "key", "said"),
    [
        ({"clock_ghz": None}, 1, "clock_ghz", "missing"),
        ({"l2_mib": "-1"}, 5, "l2_mib", "greater than 0"),
        ({"sm_count": "0"}, 3, "sm_count", "greater than 0"),
        ({"sm_count": "many"}, 3, "sm_count", "integer"),
        ({"sm_count": "14.5"}, 3, "sm_count", "integer"),
        ({"memory_gib": "'48'"}, 6, "memory_gib", "number"),
        ({"arch": "ada"}, 2, "arch", "for example sm_89"),
        ({"device_name": "../../outside"}, 1, "device_name", "letters, digits"),
        ({"colour": "green"}, 8, "colour", "unknown key"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_line(written, changes, line, key, said):
    with pytest.raises(InputError) as raised:
        load_device(written(**changes))
    error = raised.value
    assert (error.line, error.key) == (line, key)
    assert said in error.message


def test_one_block_cannot_have_more_shared_memory_than_the_sm(written):
    with pytest.raises(InputError, match=r"mine.yaml:10: limits.shared_kib_per_block: .*165 KiB.*164 KiB"):
        load_device(written(LIMITS.format(block=165), arch="sm_87"))


def test_a_file_that_is_not_there_is_no_traceback(tmp_path):
    with pytest.raises(InputError, match=r"none\.yml: cannot be read"):
        find_device(tmp_path / "none.yml")
