from __future__ import annotations

import builtins
import sys
from types import SimpleNamespace

import pytest

from workbench.measure import clocks
from workbench.measure.clocks import ClockReading, NullClocks, NvmlClocks, decode_reasons, open_clocks


class FakeNvmlError(Exception):
    pass


class FakeNvml:
    """Two GPUs; only what is read may be called."""

    NVMLError = FakeNvmlError
    NVML_CLOCK_SM = 1
    uuids = ("GPU-aaaa", "GPU-bbbb")
    addresses = ("00000000:17:00.0", "00000000:65:00.0")

    def __init__(self):
        self.shut_down = 0

    def nvmlInit(self):  # noqa: N802
        pass

    def nvmlShutdown(self):  # noqa: N802
        self.shut_down += 1

    def nvmlSystemGetDriverVersion(self):  # noqa: N802
        return b"580.1"

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        return self._find(self.uuids, uuid)

    def nvmlDeviceGetHandleByPciBusId(self, address):  # noqa: N802
        return self._find(self.addresses, address)

    def nvmlDeviceGetClockInfo(self, handle, kind):  # noqa: N802
        return (1000, 1980)[handle]

    def nvmlDeviceGetPowerUsage(self, handle):  # noqa: N802
        return 412_500

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):  # noqa: N802
        return 0x44

    def _find(self, names, wanted):
        if wanted not in names:
            raise FakeNvmlError("Not Found")
        return names.index(wanted)


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def use_cuda_device(monkeypatch, **properties):
    monkeypatch.setattr(clocks, "_cuda_properties", lambda device: SimpleNamespace(**properties))


def test_the_device_is_found_by_uuid_and_not_by_its_index(nvml, monkeypatch):
    use_cuda_device(monkeypatch, uuid="bbbb")
    assert open_clocks("cuda:0").read().sm_mhz == 1980


def test_the_device_is_found_by_its_pci_address_where_torch_knows_no_uuid(nvml, monkeypatch):
    use_cuda_device(monkeypatch, pci_domain_id=0, pci_bus_id=0x65, pci_device_id=0)
    assert open_clocks("cuda:0").read().sm_mhz == 1980


def test_the_pci_address_is_taken_where_nvml_does_not_know_the_uuid(nvml, monkeypatch):
    use_cuda_device(monkeypatch, uuid="cccc", pci_domain_id=0, pci_bus_id=0x17, pci_device_id=0)
    assert open_clocks("cuda:0").read().sm_mhz == 1000


def test_a_reading_holds_clock_reasons_power_and_driver(nvml, monkeypatch):
    use_cuda_device(monkeypatch, uuid="bbbb")
    reader = open_clocks()
    expected = ClockReading(sm_mhz=1980, reasons=("sw_power_cap", "hw_thermal_slowdown"), power_w=412.5)
    assert reader.read() == expected
    assert reader.driver == "580.1"


def test_a_gpu_that_nvml_does_not_list_gets_a_null_reader_that_says_so(nvml, monkeypatch):
    use_cuda_device(monkeypatch, uuid="cccc")
    reader = open_clocks("cuda:3")
    assert reader == NullClocks("NVML does not list the CUDA device cuda:3")
    assert nvml.shut_down == 1


def test_what_a_gpu_does_not_support_is_left_empty(nvml):
    def unsupported(*arguments):
        raise FakeNvmlError("Not Supported")

    nvml.nvmlDeviceGetPowerUsage = nvml.nvmlDeviceGetClockInfo = unsupported
    nvml.nvmlDeviceGetCurrentClocksEventReasons = unsupported
    assert NvmlClocks(nvml, 1).read() == ClockReading()


def test_an_old_binding_is_asked_by_the_old_name():
    old = SimpleNamespace(
        NVMLError=FakeNvmlError, NVML_CLOCK_SM=1, nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x8
    )
    assert NvmlClocks(old, 0).read().reasons == ("hw_slowdown",)


def test_a_with_block_gives_nvml_back(nvml, monkeypatch):
    use_cuda_device(monkeypatch, uuid="bbbb")
    with open_clocks() as reader:
        assert reader.read().sm_mhz == 1980
        assert nvml.shut_down == 0
    assert nvml.shut_down == 1


def test_a_null_reader_can_be_closed_too():
    with NullClocks() as reader:
        assert reader.read() == ClockReading()


def test_without_the_binding_the_reader_is_a_null_one(monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *rest, **more):
        if name == "pynvml":
            raise ImportError(name)
        return real_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert "nvidia-ml-py is not installed" in open_clocks().why


def test_without_a_driver_the_reader_is_a_null_one(nvml):
    def no_driver():
        raise FakeNvmlError("Driver Not Loaded")

    nvml.nvmlInit = no_driver
    reader = open_clocks()
    assert reader.why == "NVML does not answer: Driver Not Loaded"
    assert reader.read() == ClockReading()


def test_without_cuda_the_reader_is_a_null_one(nvml, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "no CUDA GPU" in open_clocks().why


def test_reasons_are_words_and_an_unknown_bit_is_kept():
    assert decode_reasons(0) == ()
    assert decode_reasons(0x1 | 0x20) == ("gpu_idle", "sw_thermal_slowdown")
    assert decode_reasons(1 << 20) == ("unknown_0x100000",)


def test_idleness_and_clock_settings_are_no_throttling():
    reading = ClockReading(reasons=("gpu_idle", "applications_clocks_setting", "sync_boost", "sw_power_cap"))
    assert reading.throttled == ("sw_power_cap",)


def test_the_table_of_reasons_agrees_with_the_binding():
    pynvml = pytest.importorskip("pynvml")
    assert clocks.REASONS[pynvml.nvmlClocksThrottleReasonSwPowerCap] == "sw_power_cap"
    assert clocks.REASONS[pynvml.nvmlClocksThrottleReasonHwSlowdown] == "hw_slowdown"
    assert clocks.REASONS[pynvml.nvmlClocksThrottleReasonSwThermalSlowdown] == "sw_thermal_slowdown"
    assert clocks.REASONS[pynvml.nvmlClocksThrottleReasonHwThermalSlowdown] == "hw_thermal_slowdown"
    assert clocks.REASONS[pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown] == "hw_power_brake_slowdown"


def test_nothing_in_the_module_sets_anything():
    source = clocks.__loader__.get_data(clocks.__file__).decode()
    assert "nvmlDeviceSet" not in source
    assert "nvmlDeviceReset" not in source


@pytest.mark.gpu
@pytest.mark.smoke
def test_the_gpu_at_hand_reports_its_clock():
    reader = open_clocks("cuda")
    assert isinstance(reader, NvmlClocks)
    assert reader.read().sm_mhz > 0
    assert reader.driver
    reader.close()
