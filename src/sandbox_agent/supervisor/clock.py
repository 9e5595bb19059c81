"""The time limits of a run."""

from __future__ import annotations

import time


class Clock:
    """The time a run has. Waiting for stdin, where a run says so, has a limit of its own and does not count."""

    def __init__(self, wall_ms: int, input_seconds: int) -> None:
        self._began = time.monotonic_ns()
        self._limit = wall_ms * 1_000_000
        self._input_limit = input_seconds * 1_000_000_000
        self._waited = 0
        self._waiting_since: int | None = None

    @property
    def waiting(self) -> bool:
        return self._waiting_since is not None

    def wait(self) -> None:
        self._waiting_since = time.monotonic_ns()

    def go_on(self) -> None:
        if self._waiting_since is not None:
            self._waited += time.monotonic_ns() - self._waiting_since
            self._waiting_since = None

    def left(self) -> float:
        """Return the seconds that are left of the limit that applies now."""
        now = time.monotonic_ns()
        if self._waiting_since is not None:
            return (self._input_limit - self._waited - (now - self._waiting_since)) / 1e9
        return (self._limit - (now - self._began - self._waited)) / 1e9

    def ran_us(self) -> int:
        """Return how long the run took until now, without its waiting, in microseconds."""
        self.go_on()
        return (time.monotonic_ns() - self._began - self._waited) // 1000
