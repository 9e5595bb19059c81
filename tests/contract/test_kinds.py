"""Sandboxes with more imported are as the plain one, but for the time that an import takes."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from code_executor import Execution, Executor
from code_executor.core.models import File, Reason
from code_executor.sandbox import hardening
from tests.conftest import IMAGE, RUNTIME
from tests.kinds import DATA, LARGEST, PLAIN, PLOTS, libraries_of, open_kind

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

STATE = Path(__file__).with_name("state.py").read_text()
PYTHON = Path(".sandbox/bin/python").absolute()

PLOT = """
import numpy, matplotlib.pyplot as plt
plt.plot(numpy.arange(5), label="a")
plt.title("$x^2$ and text")
plt.legend()
plt.show()
"""

LOOK = """
import os
def is_open(fd):
    try: return bool(os.fstat(fd))
    except OSError: return False
print([fd for fd in range(1000) if is_open(fd)], os.listdir("/tmp"), os.listdir("/work"))
"""


@pytest.fixture(scope="module", params=[PLAIN, DATA, PLOTS, LARGEST], ids=["plain", "data", "plots", "largest"])
async def kind(engine: str, request: pytest.FixtureRequest) -> AsyncIterator[tuple[int, Executor]]:
    async with open_kind(engine, request.param) as executor:
        yield request.param, executor


@pytest.fixture(scope="module")
async def largest(engine: str) -> AsyncIterator[Executor]:
    async with open_kind(engine, LARGEST) as executor:
        yield executor


async def test_all_that_is_to_be_preloaded_is(kind: tuple[int, Executor]) -> None:
    number, executor = kind
    introduction = executor.pool.introduction
    assert introduction["not_preloaded"] == []
    assert (introduction["preloaded"] > 10 << 20) == (number > PLAIN)
    result = await executor.run(
        f"""import sys
print([name for name in {libraries_of(number)} if name not in sys.modules])
print([name for name in ("asyncio", "multiprocessing", "sqlite3") if name in sys.modules])"""
    )
    assert result.output == "[]\n[]\n"


@pytest.mark.skipif(bool(RUNTIME), reason="gVisor does not count a program's data")
async def test_a_program_has_the_same_room_for_data(kind: tuple[int, Executor]) -> None:
    """It does not pay for what is preloaded, and gets a MemoryError where a plain one gets it."""
    _, executor = kind
    code = """
for size in (425, 450):
    try:
        x = bytearray(size << 20)
        del x
        print(size)
    except MemoryError:
        print("no", size)
"""
    result = await executor.run(code, timeout=20)
    assert (result.reason, result.output) == (Reason.COMPLETED, "425\nno 450\n"), result


@pytest.mark.skipif(bool(RUNTIME), reason="the control group is around all of gVisor")
async def test_all_processes_together_have_the_same_memory(kind: tuple[int, Executor]) -> None:
    """Half of it twice is too much in each; so what is preloaded adds its own size to the group, and no more."""
    _, executor = kind
    code = """
import os
read, write = os.pipe()
if (child := os.fork()) == 0:
    x = bytearray({size} << 20)
    os.read(read, 1)
    os._exit(0)
x = bytearray({size} << 20)
os.write(write, b".")
print(os.waitpid(child, 0)[1])
"""
    fits = await executor.run(code.format(size=200), timeout=20)
    assert (fits.reason, fits.output) == (Reason.COMPLETED, "0\n"), fits
    too_much = await executor.run(code.format(size=300), timeout=20)
    assert (too_much.reason, too_much.output) != (Reason.COMPLETED, "0\n"), too_much


async def test_a_run_leaves_nothing_for_which_its_sandbox_would_be_given_up(kind: tuple[int, Executor]) -> None:
    _, executor = kind
    before = (await executor.run(LOOK)).output
    made = executor.pool.book.made
    assert before == "[0, 1, 2, 6, 9] [] ['main.py']\n"
    for _ in range(2):
        result = await executor.run(PLOT, display=True, timeout=30)
        assert (result.reason, result.error) == (Reason.COMPLETED, "")
        assert [shown.media_type for shown in result.displays] == ["image/png"]
        assert (await executor.run(LOOK)).output == before
    assert executor.pool.book.made == made


async def test_what_is_seen_of_the_libraries_is_what_python_main_py_sees(engine: str, largest: Executor) -> None:
    elsewhere = await anyio.to_thread.run_sync(_state_outside, engine)
    here = await largest.run(Execution(STATE, timeout=30))
    assert (here.reason, here.error) == (Reason.COMPLETED, "")
    assert _pieces(here.output) == _pieces(elsewhere)


def _state_outside(engine: str) -> str:
    """With matplotlib's list of fonts where it may write, or it would start a thread to make one."""
    environment = {**hardening.ENVIRONMENT, "MPLCONFIGDIR": "."}
    options = [f"--env={name}={value}" for name, value in environment.items()]
    container = [
        "docker",
        "run",
        "--rm",
        "-i",
        *options,
        "--network=none",
        "--user=52000",
        "--entrypoint=/bin/sh",
        IMAGE,
    ]
    before, python = (container, Path(hardening.INTERPRETER)) if engine == "docker" else (["/bin/sh"], PYTHON)
    fonts = python.parents[1] / "share/matplotlib"
    script = f"cd $(mktemp -d) && cp {fonts}/* . && cat > main.py && {python} main.py && rm -r $PWD"
    around = None if engine == "docker" else environment
    return subprocess.run(
        [*before, "-c", script], input=STATE, stdout=subprocess.PIPE, text=True, check=True, env=around
    ).stdout


def _pieces(output: str) -> dict[str, str]:
    lines = re.sub("0x[0-9a-f]+", "somewhere", output).splitlines()
    return dict(line.split(" = ", 1) for line in lines)


async def test_a_file_of_the_program_is_imported_and_not_what_was_preloaded(kind: tuple[int, Executor]) -> None:
    _, executor = kind
    names = ["statistics", "random", "queue", "calendar", "json", "numpy", "pandas", "scipy", "sympy", "matplotlib"]
    files = tuple(File(f"{name}.py", b"mine = True") for name in names)
    result = await executor.run(f"import {', '.join(names)}\nprint(all([{'.mine, '.join(names)}.mine]))", files=files)
    assert (result.output, result.error) == ("True\n", "")


async def test_random_numbers_are_each_runs_own(largest: Executor) -> None:
    code = """
import random, uuid, secrets, numpy, scipy.stats, sympy.core.random
print(random.random(), uuid.uuid4(), secrets.token_hex(), numpy.random.rand(), numpy.random.default_rng().random(),
      scipy.stats.norm.rvs(), sympy.core.random.rng.random(), sympy.core.random.uniform(0, 1))
"""
    first, second = [(await largest.run(code, timeout=20)).output.split() for _ in range(2)]
    assert len(first) == len(second) == 8
    assert not set(first) & set(second)


async def test_a_name_that_was_not_imported_is_not_there(kind: tuple[int, Executor]) -> None:
    _, executor = kind
    code = """
for thing in ("numpy", "plt", "sympy", "unittest"):
    try:
        eval(thing)
    except (NameError, AttributeError) as error:
        print(error)
"""
    result = await executor.run(code)
    assert len(result.output.splitlines()) == 4, result.output


async def test_the_kinds_are_chosen_by_what_a_program_names(engine: str) -> None:
    """A service with its default settings, but small: each program finds imported what it needs."""
    settings = {"engine": engine, "policy": "off", "pool_size": 2, "pool_min": 1, "log_level": "error"}
    async with Executor.open(**settings) as executor:
        pools = executor._inner.pools
        for pool in pools:
            await pool.wait_ready(120)
        needed = {"json": PLAIN, "numpy": DATA, "matplotlib": PLOTS, "scipy": LARGEST, "asyncio": DATA}
        for name, kind in needed.items():
            result = await executor.run(f"import json, sys, {name}\nprint(json.dumps([*sys.modules]))", timeout=20)
            loaded = set(json.loads(result.output))
            assert set(libraries_of(kind)) <= loaded, name
            assert not loaded & {*libraries_of(LARGEST)} - {*libraries_of(kind), "numpy"}, name
