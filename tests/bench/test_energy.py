from __future__ import annotations

from types import SimpleNamespace

import pytest

from workbench.bench.energy import NvmlEnergy, open_energy
from workbench.measure.clocks import NullClocks, NvmlClocks


class NvmlError(Exception):
    pass


def nvml(counter):
    def read(handle):
        if counter is None:
            raise NvmlError
        return counter

    return SimpleNamespace(NVMLError=NvmlError, nvmlDeviceGetTotalEnergyConsumption=read)


@pytest.mark.parametrize("millijoules, joules", [(1500, 1.5), (0, 0.0), (None, None)])
def test_the_counter_is_in_millijoules_and_may_be_missing(millijoules, joules):
    assert NvmlEnergy(NvmlClocks(nvml(millijoules), "handle")).joules() == joules


def test_without_nvml_no_energy_is_known(monkeypatch):
    monkeypatch.setattr("workbench.bench.energy.open_clocks", lambda device: NullClocks("no NVML"))
    with open_energy() as meter:
        assert meter.joules() is None
