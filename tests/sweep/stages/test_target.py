from __future__ import annotations

import pytest

from workbench.sweep.stages.target import _StandInDriver, registers_and_stack, set_target


@pytest.fixture
def target_put_back():
    from triton.runtime import driver

    before = driver._active
    yield driver
    driver._active = before


def test_triton_is_told_of_the_gpu_that_is_not_there(target_put_back):
    set_target(120)
    target = target_put_back.active.get_current_target()
    assert (target.backend, target.arch, target.warp_size) == ("cuda", 120, 32)


def test_each_target_is_a_device_of_its_own_so_that_kernels_are_not_mixed_up(target_put_back):
    set_target(100)
    blackwell = target_put_back.active.get_current_device()
    set_target(90)
    assert target_put_back.active.get_current_device() != blackwell
    assert isinstance(target_put_back.active, _StandInDriver)


def test_what_is_no_machine_code_is_an_error():
    with pytest.raises(Exception, match="cuobjdump"):
        registers_and_stack(b"no cubin")
