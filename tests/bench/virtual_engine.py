"""An engine whose arms take made-up time on a clock of their own, so that the runner's arithmetic can be checked."""

from __future__ import annotations

from contextlib import contextmanager

from workbench.bench.engine import EngineFacts, EngineStep


class VirtualClock:
    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return self.seconds


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class VirtualSession:
    def __init__(self, clock, arm, batch, *, prefill_s, step_s, accepted=0, drafted=0, joules=None):
        self._clock, self._arm, self._batch = clock, arm, batch
        self._prefill_s, self._step_s = prefill_s, step_s
        self._accepted, self._drafted = accepted, drafted
        self.seeds = []

    @contextmanager
    def run(self, seed):
        self.seeds.append(seed)
        # What is not timed may take as long as it likes.
        self._clock.seconds += 1000.0
        yield

    def prefill(self):
        self._clock.seconds += self._prefill_s
        return [1] * self._batch

    def step(self):
        self._clock.seconds += self._step_s() if callable(self._step_s) else self._step_s
        tokens = (1 + self._accepted,) * self._batch
        drafts = self._batch if self._drafted else 0
        return EngineStep(tokens, drafts * self._drafted, drafts * self._accepted, drafts)

    def peak_memory_bytes(self):
        return 1 << 30


class VirtualEngine:
    """Arms by name: the keyword arguments of their sessions, or an exception that opening them raises."""

    facts = EngineFacts(model="tiny", device="NVIDIA_B200", versions=(("torch", "2.13.0"),))

    def __init__(self, clock, arms):
        self.clock, self.arms = clock, arms
        self.log, self.closed = [], 0

    @contextmanager
    def open(self, arm, *, batch, input_tokens, output_tokens, draft_tokens):
        made = self.arms[arm](batch) if callable(self.arms[arm]) else self.arms[arm]
        if isinstance(made, Exception):
            raise made
        session = VirtualSession(self.clock, arm, batch, **made)
        run = session.run
        session.run = lambda seed: (self.log.append((arm, batch, seed)), run(seed))[1]
        try:
            yield session
        finally:
            self.closed += 1
