"""What is imported and used before the first fork: what it may leave, and what programs see of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import sandbox_agent
from tests.unit.agent.supervised import CONFIG, Supervise

SOURCE = str(Path(sandbox_agent.__file__).parents[1])

FIT = """
import os, threading
from sandbox_agent.supervisor.warm import Footing, UnfitError
footing = Footing()
{then}
try:
    footing.check()
except UnfitError as error:
    print(error)
else:
    print("fit")
"""


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("", "fit"),
        ("os.close(os.open('/dev/null', os.O_RDONLY))", "fit"),
        ("kept = os.open('/dev/null', os.O_RDONLY)", "what was imported holds descriptors"),
        ("a = open('/dev/null'); a.me = a; del a", "fit"),  # the collector comes to it
        (
            "threading.Thread(target=threading.Event().wait, daemon=True).start()",
            "what was imported started threads: 1",
        ),
    ],
)
def test_what_a_fork_could_not_bear_makes_a_process_unfit(then: str, said: str) -> None:
    code = FIT.format(then=then)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": SOURCE}, check=True
    )
    assert done.stdout.startswith(said), done.stdout


STANDARD = ("asyncio", "unittest", "sqlite3", "statistics", "random")


def test_a_program_finds_imported_what_python_imports_and_no_more(supervise: Supervise) -> None:
    code = "import sys; print(*sorted(sys.modules))"
    with supervise(CONFIG) as bare, supervise(replace(CONFIG, standard=STANDARD)) as warm:
        bare.ready()
        warm.ready()
        assert bare.run(code).stdout == warm.run(code).stdout


def test_what_was_imported_and_used_works(supervise: Supervise) -> None:
    code = f"""
import {", ".join(STANDARD)}
class Case(unittest.TestCase):
    def test(self): self.assertEqual(statistics.mean([1, 2, 3]), 2)
async def main(): return await asyncio.sleep(0, 3)
print(asyncio.run(main()), sqlite3.connect(":memory:").execute("SELECT 4").fetchone(), asyncio._get_running_loop())
unittest.main()
"""
    with supervise(replace(CONFIG, standard=STANDARD)) as supervisor:
        supervisor.ready()
        run = supervisor.run(code)
        assert run.stdout == b"3 (4,) None\n"
        assert b"Ran 1 test" in run.stderr
        assert b"OK" in run.stderr


def test_a_module_of_the_programs_own_is_the_one_it_gets(supervise: Supervise) -> None:
    with supervise(replace(CONFIG, standard=STANDARD)) as supervisor:
        supervisor.ready()
        run = supervisor.run("import statistics\nprint(statistics.mine)", files={"statistics.py": b"mine = 5"})
        assert run.stdout == b"5\n"


def test_random_numbers_are_each_runs_own(supervise: Supervise) -> None:
    with supervise(replace(CONFIG, standard=STANDARD)) as supervisor:
        seen = set()
        for _ in range(3):
            supervisor.ready()
            seen.add(supervisor.run("import random; print(random.random())").stdout)
        assert len(seen) == 3
