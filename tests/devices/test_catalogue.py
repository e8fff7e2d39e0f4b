from __future__ import annotations

import dataclasses
import pickle

import pytest

from workbench.base.errors import InputError
from workbench.devices import Device, catalogue, find_device

SLUGS = {
    "NVIDIA_B200",
    "NVIDIA_B300_SXM6_AC",
    "NVIDIA_GB200",
    "NVIDIA_GB10",
    "NVIDIA_H100_80GB_HBM3",
    "NVIDIA_H200",
    "NVIDIA_A100-SXM4-80GB",
    "NVIDIA_L40S",
    "NVIDIA_GeForce_RTX_5090",
    "NVIDIA_GeForce_RTX_5080",
    "NVIDIA_GeForce_RTX_4090",
    "NVIDIA_GeForce_RTX_3090",
    "NVIDIA_RTX_PRO_6000_Blackwell_Workstation_Edition",
    "NVIDIA_RTX_PRO_6000_Blackwell_Server_Edition",
    "NVIDIA_RTX_PRO_6000_Blackwell_Max-Q_Workstation_Edition",
}
NAMES = {"slug", "device_name", "aliases", "compute_capability", "sources"}


def test_the_catalogue_holds_the_promised_devices_once_each():
    slugs = [device.slug for device in catalogue()]
    assert set(slugs) == SLUGS
    assert len(slugs) == len(SLUGS)


@pytest.mark.parametrize("device", catalogue(), ids=lambda device: device.slug)
def test_every_figure_has_a_source(device):
    figures = {field.name for field in dataclasses.fields(Device)} - NAMES
    assert set(device.sources) == figures
    assert "unknown" not in device.sources.values()


@pytest.mark.parametrize("device", catalogue(), ids=lambda device: device.slug)
def test_limits_of_one_sm_agree_with_each_other(device):
    # CUDA reserves 1 KiB of shared memory for each block.
    assert device.shared_bytes_per_block == device.shared_bytes_per_sm - 1024
    assert device.max_blocks_per_sm <= device.max_warps_per_sm
    assert device.registers_per_sm == 65536


@pytest.mark.parametrize(
    ("name", "capability", "sms", "shared_per_block"),
    [
        ("b200", 100, 148, 232_448),
        ("b300", 103, 148, 232_448),
        ("gb10", 121, 48, 101_376),
        ("h200", 90, 132, 232_448),
        ("a100", 80, 108, 166_912),
        ("rtx5090", 120, 170, 101_376),
        ("rtx3090", 86, 82, 101_376),
    ],
)
def test_figures_that_decide_what_can_launch(name, capability, sms, shared_per_block):
    device = find_device(name)
    found = (device.compute_capability, device.sm_count, device.shared_bytes_per_block)
    assert found == (capability, sms, shared_per_block)


def test_bytes_come_out_of_the_units_of_the_file():
    device = find_device("h200")
    assert (device.l2_bytes, device.memory_bytes) == (60 << 20, 141 << 30)
    assert device.bandwidth_bytes_per_s == 4.8e12


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA_GeForce_RTX_5090",
        "NVIDIA GeForce RTX 5090",
        "nvidia_geforce_rtx_5090",
        "RTX5090",
        "RTX 5090",
        "rtx-5090",
        "5090",
    ],
)
def test_a_device_is_found_by_any_spelling_of_its_name(name):
    assert find_device(name).slug == "NVIDIA_GeForce_RTX_5090"


def test_every_variant_of_the_h200_is_the_same_device():
    assert find_device("NVIDIA H200 NVL") == find_device("h200")


def test_another_variant_of_the_h100_is_not_taken_for_the_sxm_one():
    with pytest.raises(InputError, match="no device 'NVIDIA H100 PCIe'"):
        find_device("NVIDIA H100 PCIe")


@pytest.mark.parametrize(("wrong", "meant"), [("rtx509", "rtx5090"), ("B20", "b200"), ("NVIDIA_L4S", "l40s")])
def test_an_unknown_device_is_answered_in_one_line_with_what_there_is(wrong, meant):
    with pytest.raises(InputError) as raised:
        find_device(wrong)
    message = str(raised.value)
    assert f"did you mean {meant}?" in message
    assert "rtxpro6000" in message
    assert ".yaml" in message
    assert "\n" not in message


def test_a_device_can_be_sent_to_a_worker_process_and_be_a_key():
    device = find_device("b200")
    assert pickle.loads(pickle.dumps(device)) == device
    assert {device: 1}[find_device("B200")] == 1
