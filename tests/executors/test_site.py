from __future__ import annotations

import pytest

from tests.executors import tasks
from workbench.base.errors import InputError
from workbench.executors import site
from workbench.executors.site import LocalSite, local_site


@pytest.fixture
def at_hand(monkeypatch):
    def put(*ids):
        monkeypatch.setattr(site, "detect_gpu_ids", lambda: ids)

    return put


def test_each_measuring_worker_sees_its_own_gpu_only():
    pools = LocalSite(["2", "GPU-abc"]).gpu_workers(timeout_s=1)
    seen = []
    for pool in pools:
        with pool:
            seen.append(pool.submit(tasks.variable, "CUDA_VISIBLE_DEVICES").result())
    assert seen == ["2", "GPU-abc"]


def test_all_gpus_of_one_kind_are_used_unless_fewer_are_asked_for(at_hand):
    at_hand("0", "2", "3")
    assert local_site(None).gpus == ("0", "2", "3")
    assert local_site(2).gpus == ("0", "2")


@pytest.mark.parametrize("ids, gpus", [((), None), (("0",), None), (("0",), 1), (("0", "1"), 1)])
def test_one_gpu_is_the_one_that_cuda_takes(at_hand, ids, gpus):
    at_hand(*ids)
    assert local_site(gpus).gpus == ("",)


@pytest.mark.parametrize(
    "ids, gpus, told",
    [
        ((), 1, "no GPU is at hand"),
        (("0",), 2, "1 GPU of one kind is at hand"),
        (("0", "1"), 3, "2 GPUs of one kind are at hand"),
    ],
)
def test_more_workers_than_gpus_is_one_error(at_hand, ids, gpus, told):
    at_hand(*ids)
    with pytest.raises(InputError) as caught:
        local_site(gpus)
    assert str(caught.value) == f"--gpus: asks for {gpus} measuring workers, one a GPU, and {told}"
