from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest
import torch

from workbench.devices import detect, detect_device, detect_gpu, driver_version, find_device

H200 = {
    "name": "NVIDIA H200",
    "major": 9,
    "minor": 0,
    "multi_processor_count": 132,
    "total_memory": 143156 << 20,
    "L2_cache_size": 60 << 20,
    "shared_memory_per_multiprocessor": 228 << 10,
    "shared_memory_per_block_optin": 227 << 10,
    "regs_per_multiprocessor": 65536,
    "max_threads_per_multi_processor": 2048,
    "warp_size": 32,
    "clock_rate": 1_980_000,
    "memory_clock_rate": 3_201_000,
    "memory_bus_width": 6144,
}


@pytest.fixture
def reporting(monkeypatch):
    def report(**changes):
        properties = SimpleNamespace(**{**H200, **changes})
        monkeypatch.setattr(detect, "driver_installed", lambda: True)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)

    return report


def test_without_a_gpu_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert detect_gpu() is None
    assert detect_device() is None


def test_a_broken_driver_means_no_gpu_rather_than_an_error(reporting, monkeypatch):
    reporting()
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: 1 / 0)
    assert detect_device() is None


def test_a_gpu_of_another_maker_is_not_taken_for_a_cuda_one(reporting, monkeypatch):
    reporting(name="AMD Instinct MI300X")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert detect_device() is None


def test_a_known_gpu_is_its_entry_of_the_catalogue(reporting):
    reporting()
    assert detect_device() == find_device("h200")


def test_a_known_gpu_keeps_the_name_that_cuda_reports(reporting):
    reporting(name="NVIDIA H200 NVL")
    device = detect_device()
    assert (device.slug, device.device_name) == ("NVIDIA_H200", "NVIDIA H200 NVL")


def test_what_cuda_says_of_a_limit_outweighs_the_catalogue(reporting):
    reporting(L2_cache_size=50 << 20)
    device = detect_device()
    assert device.l2_bytes == 50 << 20
    assert "on this machine" in device.sources["l2_bytes"]
    assert device.memory_bytes == find_device("h200").memory_bytes


def test_a_slice_of_a_gpu_has_its_own_figures(reporting):
    reporting(name="NVIDIA H200 MIG 1g.18gb", multi_processor_count=16, total_memory=18 << 30)
    device = detect_device()
    assert (device.sm_count, device.memory_bytes) == (16, 18 << 30)


def test_an_unknown_gpu_is_built_from_what_cuda_reports(reporting):
    reporting(name="NVIDIA H100 PCIe", multi_processor_count=114, memory_bus_width=5120)
    device = detect_device()
    assert (device.slug, device.arch, device.aliases) == ("NVIDIA_H100_PCIe", "sm_90", ())
    assert (device.sm_count, device.clock_ghz, device.max_warps_per_sm) == (114, 1.98, 64)
    assert device.bandwidth_bytes_per_s == pytest.approx(3_201e6 * 2 * 5120 / 8)
    assert device.sources["sm_count"] == "as CUDA reports it on this machine"


def test_a_figure_that_cuda_does_not_report_says_whose_it_is(reporting):
    reporting(name="NVIDIA H100 PCIe", multi_processor_count=114, memory_clock_rate=0)
    device = detect_device()
    assert device.bandwidth_bytes_per_s == find_device("h100").bandwidth_bytes_per_s
    assert "NVIDIA_H100_80GB_HBM3" in device.sources["bandwidth_bytes_per_s"]
    assert "NVIDIA_H100_80GB_HBM3" in device.sources["max_blocks_per_sm"]


def test_the_driver_is_asked_through_nvml(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda: b"580.95.05")
    assert driver_version() == "580.95.05"


def test_without_nvml_there_is_no_driver(monkeypatch):
    def fail():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert driver_version() is None
