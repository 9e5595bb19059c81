"""The limits of a sandbox and of one run in it, with their defaults. They stand here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    """What every sandbox is held to. Bytes, seconds, cores, counts.

    ``processes`` is how many processes or threads of its own a program can count on beside its first; see `tasks`.
    ``cpu_period`` is how long the kernel counts before a sandbox that has used up its ``cpus`` may go on: so late can a
    limit of time be noticed, but for the share that ``cpus`` is of it, and so much can a program use at once.
    ``attachments`` bounds the files that a run is given, again the files that it leaves, and again what it displays.
    ``input_time`` is how long an interactive run may wait for input in all; ``session_cpu_time`` is for all the cells
    of a session together.
    """

    memory: int = 512 << 20
    cpus: float = 0.5
    cpu_period: float = 0.5
    processes: int = 10
    disk: int = 64 << 20
    files: int = 2048
    output: int = 1 << 20
    wall_time: float = 30.0
    cpu_time: float = 30.0
    input_time: float = 300.0
    attachments: int = 8 << 20
    session_cpu_time: float = 600.0

    @property
    def tasks(self) -> int:
        """Processes and threads at once, of all kinds, the first included: where the kernel says no.

        A program that starts n workers starts more than n. Each worker can have a thread that feeds its queue, and a
        thread of a manager that answers it. A pool has three threads beside its workers, a manager is a process with a
        thread that accepts and one that answers the program, and the program itself is one.
        """
        return 3 * self.processes + 7

    def for_run(self, timeout: float | None) -> Limits:
        """Return the limits of one run that asks for ``timeout`` seconds (None: as many as there are)."""
        if timeout is None or timeout >= self.wall_time:
            return self
        return replace(self, wall_time=timeout)

    def for_check(self, seconds: float) -> Limits:
        """Return the limits of a check, which runs nothing: ``seconds`` by the clock, and of the processor."""
        return replace(self, wall_time=min(seconds, self.wall_time), cpu_time=min(seconds, self.cpu_time))
