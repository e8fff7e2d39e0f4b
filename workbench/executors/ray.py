"""A Ray cluster as the place where a sweep's workers are. Every node needs the same installation.

Each worker is an actor with a killable process of its own beside it, so that a config that hangs, aborts or takes all
the memory is told from a node that dies: the first is a row with its reason, the second costs nobody anything, for
another node does the same task again.
"""

from __future__ import annotations

import math
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from workbench.base.errors import InputError, WorkerError
from workbench.base.ranges import nvtx_environment
from workbench.devices import Device, detect_device, driver_version
from workbench.executors.executor import Executor, Interrupted, Worker, WorkerLostError, WorkFailure
from workbench.executors.pool import WorkerPool
from workbench.executors.site import check_gpus

KEY = "--ray"
# Until somebody who answers nothing is given up on; together less than the 15 s that a user waits.
_KNOCK_S, _JOIN_S = 3.0, 8.0
# Until a worker that no node has room for is given up on; its task goes to the others.
_PLACE_S = 60.0
# Compiling and interpreting workers share a core, as they do on one machine.
_CPU_SHARE = 0.5
# Actors that may die one after the other before they have answered once.
_STARTS = 3
_LOOK_EVERY_S = 0.5
# What a node may take to tell of its GPU.
_ASK_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """What a worker is started with."""

    timeout_s: float
    environment: Mapping[str, str]
    harmless: frozenset[str]
    gpus: int = 0


class RayExecutor(Executor):
    """Runs functions in workers on a cluster's nodes.

    Args:
        jobs: workers.
        terms: what each is started with.
    """

    def __init__(self, jobs: int, terms: _Terms) -> None:
        super().__init__(jobs)
        self._terms = terms

    def _worker(self) -> Worker:
        return _RayWorker(self._terms)


class _RayWorker:
    def __init__(self, terms: _Terms) -> None:
        self._terms, self._interrupted = terms, False
        self._actor: Any = None

    def prepare(self) -> None:
        """Has an actor on some living node."""
        deaths = 0
        while self._actor is None:
            try:
                self._place()
            except WorkerLostError as error:
                deaths += 1
                if deaths == _STARTS:
                    raise WorkerError(f"{error}; every node needs the same installation") from None

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any | WorkFailure:
        """The task's result, or why it gave none."""
        result = self._ask(self._actor.run.remote(function, arguments))
        if isinstance(result, WorkerError):
            raise result
        return result

    def interrupt(self) -> None:
        """Ends what it runs."""
        self._interrupted = True

    def close(self) -> None:
        """Ends the actor, and with it the process beside it."""
        import ray

        actor, self._actor = self._actor, None
        if actor is not None:
            with suppress(Exception):  # whatever it is, the actor is gone
                ray.kill(actor)

    def _place(self) -> None:
        import ray

        terms = self._terms
        options = {"num_cpus": _CPU_SHARE, "num_gpus": terms.gpus, "scheduling_strategy": "SPREAD"}
        station = ray.remote(max_restarts=0, max_task_retries=0, **options)(_Station)
        self._actor = station.remote(sys.path, terms)
        self._ask(self._actor.is_there.remote(), _PLACE_S)

    def _ask(self, answer: Any, seconds: float = math.inf) -> Any:
        """Waits for an actor's answer.

        Raises:
            WorkerLostError: the actor, or its node, is gone.
            WorkerError: it took longer than it may.
        """
        import ray
        from ray.exceptions import RayActorError, RayError

        until = time.monotonic() + seconds
        try:
            while not self._interrupted:
                if ray.wait([answer], timeout=_LOOK_EVERY_S)[0]:
                    return ray.get(answer)
                if time.monotonic() > until:
                    raise WorkerError(f"no node of the Ray cluster took a worker in {seconds:g} s")
        except RayActorError as error:
            self.close()
            why = str(error).strip().splitlines()[0]
            raise WorkerLostError(f"its Ray worker or its node died ({why})") from None
        except RayError as error:
            raise WorkerError(f"the Ray cluster failed: {str(error).splitlines()[0]}") from error
        raise Interrupted


class _Station:
    """The actor: a worker process on a node."""

    def __init__(self, path: Sequence[str], terms: _Terms) -> None:
        # A kernel of the user's own is importable here as it is where the command runs.
        sys.path += [each for each in path if each not in sys.path]
        self._pool = WorkerPool(
            1, timeout_s=terms.timeout_s, environment=terms.environment, harmless=terms.harmless
        )

    def is_there(self) -> bool:
        return True

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        try:
            return self._pool.submit(function, *arguments).result()
        except WorkerError as error:
            return error


@dataclass(frozen=True, slots=True)
class RaySite:
    """A cluster that this process has joined."""

    cpus: int
    gpus: int

    def workers(
        self,
        jobs: int,
        *,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
        harmless: Collection[str] = (),
    ) -> Executor:
        """Workers on any nodes."""
        terms = _Terms(
            timeout_s=timeout_s,
            environment={**nvtx_environment(), **(environment or {})},
            harmless=frozenset(harmless),
        )
        return RayExecutor(jobs, terms)

    def gpu_workers(self, *, timeout_s: float, harmless: Collection[str] = ()) -> Sequence[Executor]:
        """Workers that have a GPU of their node for themselves."""
        terms = _Terms(
            timeout_s=timeout_s, environment=nvtx_environment(), harmless=frozenset(harmless), gpus=1
        )
        return [RayExecutor(1, terms) for _ in range(self.gpus)]

    def gpu_at_hand(self) -> tuple[Device | None, str | None]:
        """The kind of GPU that the nodes have, and its driver's version.

        Raises:
            InputError: they have several kinds.
        """
        with ExitStack() as stack:
            workers = [stack.enter_context(each) for each in self.gpu_workers(timeout_s=_ASK_S)]
            answers = [each.result() for each in [worker.submit(_gpu_here) for worker in workers]]
        failed = [answer.reason for answer in answers if isinstance(answer, WorkFailure)]
        if failed:
            raise WorkerError(f"a node's GPU cannot be asked: {failed[0]}")
        kinds = {gpu.slug: (gpu, driver) for gpu, driver in answers if gpu}
        if len(kinds) > 1:
            raise InputError(f"the cluster has several kinds of GPU: {', '.join(sorted(kinds))}", key=KEY)
        return next(iter(kinds.values()), (None, None))


def _gpu_here() -> tuple[Device | None, str | None]:
    return detect_device(), driver_version()


@contextmanager
def ray_site(address: str, gpus: int | None) -> Iterator[RaySite]:
    """Joins a cluster, and leaves it again.

    Args:
        address: `HOST:PORT` of the cluster, `ray://HOST:PORT` of a server for clients, or `auto` for the cluster that
            this machine is part of.
        gpus: how many GPUs to measure on; None for all.

    Raises:
        InputError: Ray is not installed, nobody answers there, or there are fewer GPUs.
    """
    try:
        import ray
    except ImportError:
        hint = "pip install 'moe-workbench[ray]', on every node"
        raise InputError(f"Ray is not installed: {hint}", key=KEY) from None
    _knock(address)
    try:
        _join(address)
        has = ray.cluster_resources()
        there = int(has.get("GPU", 0))
        check_gpus(gpus, there, f"in the cluster at {address}")
        yield RaySite(cpus=max(1, int(has.get("CPU", 1))), gpus=there if gpus is None else gpus)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Finds out whether anybody listens there at all, which Ray itself takes minutes for.

    Raises:
        InputError: nobody does, or it is no address.
    """
    if address == "auto":
        return
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        place = (parts.hostname, parts.port)
    except ValueError:
        place = (None, None)
    if not all(place) or parts.scheme not in ("", "ray") or parts.path or parts.query:
        raise InputError(f"{address!r} is no address: HOST:PORT, ray://HOST:PORT or auto", key=KEY)
    try:
        socket.create_connection(place, timeout=_KNOCK_S).close()
    except OSError as error:
        raise _no_answer(address, error.strerror or str(error) or "timed out") from None


def _join(address: str) -> None:
    """Joins in a thread that can be left behind, for whoever listens there need not be Ray.

    Raises:
        InputError: nobody answers as a Ray cluster does.
    """
    import ray

    ended: SimpleQueue[Exception | None] = SimpleQueue()

    def join() -> None:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
            ended.put(None)
        except Exception as error:
            ended.put(error)

    Thread(target=join, daemon=True).start()
    try:
        error = ended.get(timeout=_JOIN_S)
    except Empty:
        raise _no_answer(address, f"no word in {_JOIN_S:g} s") from None
    if error is not None:
        raise _no_answer(address, " ".join(str(error).split())[:200] or type(error).__name__)


def _no_answer(address: str, why: str) -> InputError:
    hint = "`ray start --head` starts a cluster and says its address"
    return InputError(f"no Ray cluster answers at {address} ({why}); {hint}", key=KEY)
