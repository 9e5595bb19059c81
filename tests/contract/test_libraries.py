"""Real programs: what the standard library offers for doing things at once, and what learners import."""

from __future__ import annotations

import pytest

from code_executor import Executor, Reason

PROGRAMS = {
    "threads": (
        """
import queue, threading
jobs, results = queue.Queue(), []
lock = threading.Lock()
def work():
    while (n := jobs.get()) is not None:
        with lock:
            results.append(n * n)
threads = [threading.Thread(target=work) for _ in range(3)]
for t in threads: t.start()
for n in range(100): jobs.put(n)
for t in threads: jobs.put(None)
for t in threads: t.join()
print(sum(results))
""",
        "328350\n",
    ),
    "a pool of threads": (
        """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(str.upper, "abc")))
""",
        "['A', 'B', 'C']\n",
    ),
    "asyncio": (
        """
import asyncio
async def work(n):
    await asyncio.sleep(0.01 * (3 - n))
    print(n)
    return n
async def main():
    print(await asyncio.gather(*(work(n) for n in range(3))))
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(print, "in a thread"))
asyncio.run(main())
""",
        "2\n1\n0\n[0, 1, 2]\nin a thread\n",
    ),
    "processes": (
        """
import multiprocessing
def work(inbox, outbox):
    for n in iter(inbox.get, None):
        outbox.put(n + 1)
if __name__ == "__main__":
    inbox, outbox = multiprocessing.Queue(), multiprocessing.Queue()
    process = multiprocessing.Process(target=work, args=(inbox, outbox))
    process.start()
    for n in (1, 2, None): inbox.put(n)
    print(outbox.get(), outbox.get())
    process.join()
    print(process.exitcode)
""",
        "2 3\n0\n",
    ),
    "a pool of processes": (
        """
import multiprocessing
def square(n): return n * n
if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        print(pool.map(square, range(5)))
    value = multiprocessing.Value("i", 5)
    with value.get_lock(): value.value += 1
    print(value.value)
""",
        "[0, 1, 4, 9, 16]\n6\n",
    ),
    "futures of processes": (
        """
from concurrent.futures import ProcessPoolExecutor
with ProcessPoolExecutor(2) as pool:
    print(sum(pool.map(abs, [-1, -2])))
""",
        "3\n",
    ),
    "fork and pipe": (
        """
import os
r, w = os.pipe()
if os.fork() == 0:
    os.write(w, b"from the child")
    os._exit(7)
print(os.read(r, 99), os.waitstatus_to_exitcode(os.wait()[1]))
""",
        "b'from the child' 7\n",
    ),
    "sqlite in memory and on disk": (
        """
import sqlite3
for path in (":memory:", "data.db"):
    with sqlite3.connect(path) as db:
        db.execute("create table t (n integer, s text)")
        db.executemany("insert into t values (?, ?)", [(1, "a"), (2, "ä")])
        print(db.execute("select sum(n), max(s) from t").fetchone())
""",
        "(3, 'ä')\n(3, 'ä')\n",
    ),
    "files": (
        """
import pathlib, shutil, tempfile, zipfile
pathlib.Path("d/e").mkdir(parents=True)
pathlib.Path("d/e/f.txt").write_text("text")
with zipfile.ZipFile("a.zip", "w") as z: z.write("d/e/f.txt")
print(zipfile.ZipFile("a.zip").namelist(), sorted(map(str, pathlib.Path().rglob("*"))))
shutil.rmtree("d")
with tempfile.TemporaryDirectory() as t: print(t.startswith("/tmp/"))
""",
        "['d/e/f.txt'] ['a.zip', 'd', 'd/e', 'd/e/f.txt', 'main.py']\nTrue\n",
    ),
    "what a learner imports first": (
        """
import collections, csv, datetime, functools, heapq, io, itertools, json, math, random, re, statistics, string, time
import calendar, copy, decimal, enum, fractions, hashlib, operator, secrets, textwrap, uuid, zlib, base64, bisect
import html, urllib.parse, unicodedata, platform, argparse, logging, contextlib, dataclasses, abc, array, struct, gzip
print(calendar.month_name[2], statistics.mean([1, 2]), len(str(uuid.uuid4())), json.loads('{"a": [1]}'))
print(hashlib.sha256(b"x").hexdigest()[:8], urllib.parse.quote("ä"), platform.system())
""",
        "February 1.5 36 {'a': [1]}\n2d711642 %C3%A4 Linux\n",
    ),
    "time zones": (
        """
import datetime, zoneinfo
moment = datetime.datetime(2024, 7, 1, 12, tzinfo=datetime.timezone.utc)
print(moment.astimezone(zoneinfo.ZoneInfo("Europe/Berlin")).isoformat())
""",
        "2024-07-01T14:00:00+02:00\n",
    ),
    "numpy": (
        """
import numpy as np
a = np.arange(12).reshape(3, 4)
print(a.sum(axis=0), np.linalg.solve([[3, 1], [1, 2]], [9, 8]), (np.eye(200) @ np.ones((200, 200))).sum())
rng = np.random.default_rng(1)
print(rng.integers(100), np.fft.fft([1, 0, 0, 0]).real, np.sort(rng.random(1000))[0] >= 0)
np.save("a.npy", a)
print(np.array_equal(np.load("a.npy"), a))
""",
        "[12 15 18 21] [2. 3.] 40000.0\n47 [1. 1. 1. 1.] True\nTrue\n",
    ),
    "pandas": (
        """
import io
import pandas as pd
text = "name,n,day\\nAda,1,2024-01-01\\nBob,2,2024-01-02\\nAda,3,2024-02-01\\n"
df = pd.read_csv(io.StringIO(text), parse_dates=["day"])
print(df.groupby("name")["n"].sum().to_dict(), df.describe().loc["mean", "n"])
print(df.set_index("day").resample("MS")["n"].sum().tolist())
df.to_csv("out.csv", index=False)
print(df.pivot_table(index="name", values="n", aggfunc="mean").to_string())
""",
        "{'Ada': 4, 'Bob': 2} 2.0\n[3, 3]\n        n\nname     \nAda   2.0\nBob   2.0\n",
    ),
    "matplotlib": (
        """
import io
import matplotlib.pyplot as plt
fig, (left, right) = plt.subplots(1, 2)
left.plot([1, 2, 3], [1, 4, 9], label="$x^2$")
left.set_title("Größe")
left.legend()
right.hist([1, 2, 2, 3])
for kind, start in (("png", b"\\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")):
    picture = io.BytesIO()
    fig.savefig(picture, format=kind)
    print(kind, picture.getvalue().startswith(start))
""",
        "png True\nsvg True\npdf True\n",
    ),
    "scipy": (
        """
import numpy as np
from scipy import integrate, optimize, sparse, stats
print(round(integrate.quad(lambda x: x * x, 0, 3)[0], 6), round(float(optimize.brentq(lambda x: x * x - 2, 0, 2)), 6))
print(round(stats.norm.cdf(0), 3), sparse.csr_matrix(np.eye(3)).nnz)
""",
        "9.0 1.414214\n0.5 3\n",
    ),
    "pytest": (
        """
import pytest
with open("test_square.py", "w") as file:
    file.write('''
import pytest
def square(n): return n * n if n != 3 else 8
@pytest.mark.parametrize("n", [2, 3])
def test_square(n):
    assert square(n) == n ** 2
def test_text():
    with pytest.raises(TypeError, match="can't multiply"):
        square("a")
''')
class Told:
    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            print(report.nodeid, report.outcome, report.longreprtext.splitlines()[-1:])
status = pytest.main(["-p", "no:terminal", "-p", "no:cacheprovider", "test_square.py"], plugins=[Told()])
print(status == pytest.ExitCode.TESTS_FAILED)
""",
        """test_square.py::test_square[2] passed []
test_square.py::test_square[3] failed ['test_square.py:6: AssertionError']
test_square.py::test_text passed []
True
""",
    ),
    "sympy": (
        """
import sympy as sp
x = sp.symbols("x")
print(sp.solve(x**2 - 2, x), sp.diff(sp.sin(x) * x, x), sp.integrate(sp.exp(-x**2), (x, -sp.oo, sp.oo)))
""",
        "[-sqrt(2), sqrt(2)] x*cos(x) + sin(x) sqrt(pi)\n",
    ),
}


@pytest.mark.anyio
@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_real_program_does_what_it_does_elsewhere(executor: Executor, name: str) -> None:
    code, output = PROGRAMS[name]
    result = await executor.run(code, timeout=30)
    assert (result.reason, result.output, result.error) == (Reason.COMPLETED, output, "")


@pytest.mark.anyio
async def test_random_numbers_differ_from_run_to_run(engine: str) -> None:
    """Every run is a copy of one memory, and must not be a copy of its random state."""
    code = "import random, uuid, numpy\nprint(random.random(), uuid.uuid4(), numpy.random.rand())"
    async with Executor.open(engine=engine, policy="off", pool_size=1, preload=("numpy",)) as executor:
        first, second = [(await executor.run(code)).output.split() for _ in range(2)]
        assert executor.pool.introduction["not_preloaded"] == []
    assert len(first) == len(second) == 3
    assert not set(first) & set(second)
