"""Where a sweep's workers are: on this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from workbench.base.errors import InputError
from workbench.devices.detect import detect_gpu_ids
from workbench.executors.executor import Executor
from workbench.executors.pool import WorkerPool


class Site(Protocol):
    """Makes executors."""

    def workers(
        self,
        jobs: int,
        *,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
        harmless: Collection[str] = (),
    ) -> Executor:
        """Workers that need no GPU; see `WorkerPool`."""
        ...

    def gpu_workers(self, *, timeout_s: float, harmless: Collection[str] = ()) -> Sequence[Executor]:
        """One executor of one worker for each GPU that may be used, and that GPU is all that it sees."""
        ...


@dataclass(frozen=True, slots=True)
class LocalSite:
    """This machine.

    Attributes:
        gpus: the GPUs to measure on, as `CUDA_VISIBLE_DEVICES` names them; an empty name is CUDA's own choice.
    """

    gpus: Sequence[str] = ("",)

    def workers(
        self,
        jobs: int,
        *,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
        harmless: Collection[str] = (),
    ) -> Executor:
        """Processes here."""
        return WorkerPool(jobs, timeout_s=timeout_s, environment=environment, harmless=harmless)

    def gpu_workers(self, *, timeout_s: float, harmless: Collection[str] = ()) -> Sequence[Executor]:
        """A process a GPU."""
        return [
            WorkerPool(1, timeout_s=timeout_s, environment=_only(gpu), harmless=harmless) for gpu in self.gpus
        ]


def _only(gpu: str) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": gpu} if gpu else {}


def local_site(gpus: int | None) -> LocalSite:
    """This machine with so many of its GPUs of one kind, all of them by default.

    Raises:
        InputError: there are not so many.
    """
    at_hand = detect_gpu_ids()
    check_gpus(gpus, len(at_hand), "at hand")
    # One GPU needs no naming where it is the one that CUDA takes anyway.
    return LocalSite(at_hand[:gpus] if len(at_hand[:gpus]) > 1 else ("",))


def check_gpus(asked: int | None, there: int, where: str) -> None:
    """Refuses more measuring workers than GPUs.

    Raises:
        InputError: says how many there are.
    """
    if asked is not None and asked > there:
        counted = {0: "no GPU is", 1: "1 GPU of one kind is"}.get(there, f"{there} GPUs of one kind are")
        raise InputError(
            f"asks for {asked} measuring workers, one a GPU, and {counted} {where}", key="--gpus"
        )
