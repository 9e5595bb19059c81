"""The native engine as a user who is not root: a program has its supervisor's uid, and is contained all the same."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests import another_user

KINDS = ("forgery", "signals", "spying", "privileges")
"""The classes of the corpus in which a uid of one's own is a wall."""


@pytest.fixture(scope="module")
def as_another_user() -> list[str]:
    why = another_user.lacks()
    if why and os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, and {why}")
    if why:
        pytest.skip(f"NOT TESTED: {why}")
    return another_user.python()


@pytest.mark.timeout(900)
def test_the_corpus_is_contained_where_programs_have_the_uid_of_their_supervisor(as_another_user: list[str]) -> None:
    selected = f"native and ({' or '.join(f'{kind}:' for kind in KINDS)})"
    tests = ["tests/hostile/test_corpus.py", "-k", selected, "-q", "-n0", "-p", "no:cacheprovider", "--no-cov"]
    done = subprocess.run(
        [*as_another_user, "-m", "pytest", *tests],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    assert " passed" in done.stdout


STEAL = """
import os, time
def steal():
    fd = os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK)
    while True:
        try:
            os.read(fd, 1 << 16)
        except BlockingIOError:
            pass
for thief in range(2):
    if os.fork() == 0:
        steal()
end = time.monotonic() + 1
while time.monotonic() < end:
    os.write(1, b"x" * 3000)
os._exit(0)
"""
RUN = """
import asyncio, sys
from code_executor import Executor
async def main():
    async with Executor.open(
        engine="native", policy="off", pool_size=1, preload=(), max_output="64m", log_level="error"
    ) as executor:
        for _ in range(3):
            result = await executor.run(sys.argv[1], timeout=20)
            print(result.reason.value)
            print((await executor.run("print('and the next')")).output, end="")
asyncio.run(main())
"""


def test_a_program_that_steals_its_own_output_ends_as_it_ends(as_another_user: list[str]) -> None:
    done = subprocess.run(
        [*as_another_user, "-c", RUN, STEAL],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.stdout == "completed\nand the next\n" * 3, done.stdout + done.stderr
