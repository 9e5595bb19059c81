"""What a supervisor holds is moved onto huge pages: all that was there, and next to nothing that was not."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sandbox_agent
from sandbox_agent.confinement import kernel
from tests.unit.agent.supervised import OUTER_FILTER, Supervise

SOURCE = str(Path(sandbox_agent.__file__).parents[1])

MEASURED = """
import mmap, os
from sandbox_agent.supervisor import hugepages
def kilobytes(name):
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))
{held}
before = kilobytes("Anonymous:")
filled = hugepages.collapse()
print(kilobytes("AnonHugePages:"), kilobytes("Anonymous:") - before, filled >> 10)
{check}
"""

NO_HUGE_PAGES = ("PYTHON", "-I", "-c", OUTER_FILTER, str(28 if os.uname().machine == "x86_64" else 233))


def measured(held: str, check: str = "") -> list[int]:
    """Return kilobytes, of a process that holds this: on huge pages, memory beyond what was there, and what it says."""
    code = MEASURED.format(held=held, check=check)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": SOURCE}, check=True
    )
    return [int(number) for number in done.stdout.split()]


@pytest.fixture
def able() -> None:
    """Go on only where the kernel can do it."""
    try:
        kernel.collapse(0, 0)
    except OSError as error:
        if error.errno == errno.EINVAL:
            pytest.skip("this kernel cannot gather memory into huge pages")


@pytest.mark.usefixtures("able")
def test_what_is_held_is_moved_and_stays_what_it_was() -> None:
    held = "held = [str(number) * 10 for number in range(300_000)]"
    huge, more, said = measured(held, "assert held == [str(number) * 10 for number in range(300_000)]")
    assert huge >= 2 << 10
    assert more <= said + 512
    assert said <= huge


@pytest.mark.usefixtures("able")
def test_memory_that_is_hardly_used_stays_so() -> None:
    held = """
held = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE)
held.madvise(mmap.MADV_NOHUGEPAGE)
for place in range(0, len(held), 8 << 10): held[place] = 1  # every second page
held.madvise(mmap.MADV_HUGEPAGE)
"""

    def stays() -> bool:
        huge, more, said = measured(held)
        return huge <= 8 << 10 and more <= said + 512 and said <= 1 << 10

    assert any(stays() for _ in range(10))  # the kernel gathers such memory by itself, too, if it comes by just then


def test_a_kernel_that_cannot_is_served_all_the_same(supervise: Supervise) -> None:
    with supervise(through=(*NO_HUGE_PAGES, str(errno.EINVAL))) as supervisor:
        supervisor.ready()
        assert supervisor.run("print(1)").stdout == b"1\n"
