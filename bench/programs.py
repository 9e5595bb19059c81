"""What learners run: programs as data, each with how long it may take beside a bare interpreter of the same image.

`show` is where a program shows its figure. With us it is `plt.show()`; a bare interpreter saves the same picture.
"""

from __future__ import annotations

from dataclasses import dataclass

_SHOWN = "plt.show()"
_SAVED = "import io\nplt.savefig(picture := io.BytesIO(), format='png')\nprint(len(picture.getvalue()))"


@dataclass(frozen=True)
class Program:
    """``ratio``: what its time over HTTP may be, divided by the bare interpreter's; ``ms``: and in milliseconds.

    ``policy``: the policy that lets it run.
    """

    name: str
    ratio: float
    code: str
    ms: float = float("inf")
    policy: str = "strict"

    @property
    def draws(self) -> bool:
        return _SHOWN in self.code

    @property
    def bare(self) -> str:
        """Return the same program for an interpreter with nobody who asks for its figures."""
        return self.code.replace(_SHOWN, _SAVED)

    def met(self, ratio: float, ms: float) -> bool:
        return ratio <= self.ratio and ms <= self.ms

    @property
    def target(self) -> str:
        return f"≤ {self.ratio:g}" + (f" and ≤ {self.ms:g} ms" if self.ms < float("inf") else "")


STANDARD_LIBRARY = """\
import json, math, random, re, statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import groupby

@dataclass(order=True)
class Task:
    due: date
    name: str = field(compare=False)
    tags: list = field(default_factory=list, compare=False)

random.seed(4)
today = datetime.strptime("2026-03-01", "%Y-%m-%d").date()
tasks = sorted(Task(today + timedelta(days=random.randrange(30)), f"task {n}", ["a", "b"][n % 2 :]) for n in range(50))
by_month = {month: len(list(some)) for month, some in groupby(tasks, lambda task: task.due.month)}
words = Counter(re.findall(r"[a-z]+", "the quick brown fox jumps over the lazy dog " * 20))
places = defaultdict(list)
for number, task in enumerate(tasks):
    places[task.due.isoformat()].append(number)
print(json.dumps({"months": by_month, "words": words.most_common(3)}))
print(f"{statistics.mean(map(len, places.values())):.2f} {math.comb(20, 4)} {Decimal('0.1') * 3}")
"""

ASYNCIO = """\
import asyncio

async def worker(name, queue, results):
    while not queue.empty():
        number = await queue.get()
        await asyncio.sleep(0)
        results.append((name, number * number))

async def main():
    queue, results = asyncio.Queue(), []
    for number in range(20):
        queue.put_nowait(number)
    await asyncio.gather(*(worker(name, queue, results) for name in "abc"))
    print(sum(square for _, square in results))

asyncio.run(main())
"""

UNITTEST = """\
import unittest

def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2

class MedianTest(unittest.TestCase):
    def test_odd(self):
        self.assertEqual(median([3, 1, 2]), 2)

    def test_even(self):
        self.assertEqual(median([4, 1, 2, 3]), 2.5)

    def test_empty(self):
        with self.assertRaises(IndexError):
            median([])

unittest.main(verbosity=2)
"""

GRADER = """\
import contextlib, io, json, sys, traceback

SUBMISSION = '''
def fib(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
'''
CASES = [("print(fib(10))", "55"), ("print(fib(0))", "0"), ("print([fib(n) for n in range(5)])", "[0, 1, 1, 2, 3]")]

def outcome(test, expected):
    written = io.StringIO()
    try:
        with contextlib.redirect_stdout(written):
            exec(test, dict(namespace))
    except Exception:
        return {"test": test, "mark": 0, "got": traceback.format_exc(limit=1)}
    got = written.getvalue().strip()
    return {"test": test, "expected": expected, "got": got, "mark": int(got == expected)}

namespace = {}
exec(compile(SUBMISSION, "answer.py", "exec"), namespace)
results = [outcome(*case) for case in CASES]
print(json.dumps({"fraction": sum(one["mark"] for one in results) / len(results), "testresults": results}))
"""

SQLITE = """\
import sqlite3

with sqlite3.connect(":memory:") as db:
    db.execute("create table pupil (id integer primary key, name text, form int, mark real)")
    db.executemany(
        "insert into pupil (name, form, mark) values (?, ?, ?)",
        [(f"pupil {n}", n % 4, 1 + n * 7 % 11 / 2) for n in range(200)],
    )
    for row in db.execute("select form, count(*), round(avg(mark), 2) from pupil group by form order by form"):
        print(*row)
"""

NUMPY = """\
import numpy as np

rng = np.random.default_rng(1)
a, b = rng.normal(size=(60, 60)), rng.normal(size=60)
x = np.linalg.solve(a, b)
print(np.allclose(a @ x, b), np.sort(x)[:3].round(3), np.linalg.eigvals(a).real.max().round(3))
print(np.histogram(rng.normal(size=5000), bins=5)[0], a.reshape(30, -1).mean(axis=1).shape)
"""

PANDAS = """\
import numpy as np
import pandas as pd

days = pd.date_range("2026-01-01", periods=730, freq="D")
rng = np.random.default_rng(2)
frame = pd.DataFrame({"day": days, "shop": rng.choice(list("abc"), 730), "sales": rng.integers(10, 90, 730)})
print(frame.groupby("shop")["sales"].agg(["mean", "max", "count"]).round(1))
print(frame.set_index("day")["sales"].resample("QS").sum())
print(frame.describe())
"""

LINE_PLOT = """\
import numpy as np
import matplotlib.pyplot as plt

x = np.linspace(0, 10, 200)
plt.plot(x, np.sin(x), label="sin")
plt.plot(x, np.cos(x), "--", label="cos")
plt.title("Waves")
plt.xlabel("x")
plt.ylabel("y")
plt.legend()
plt.grid(True)
plt.show()
"""

HISTOGRAM = """\
import numpy as np
import matplotlib.pyplot as plt

values = np.random.default_rng(3).normal(170, 10, 1000)
plt.hist(values, bins=30, edgecolor="black")
plt.axvline(values.mean(), color="red", linestyle="--", label=f"mean {values.mean():.1f}")
plt.title("Heights")
plt.xlabel("cm")
plt.legend()
plt.show()
"""

SUBPLOTS = """\
import numpy as np
import matplotlib.pyplot as plt

x = np.linspace(0, 5, 100)
rng = np.random.default_rng(4)
figure, axes = plt.subplots(2, 2, figsize=(8, 6))
axes[0, 0].plot(x, x**2)
axes[0, 1].scatter(rng.random(50), rng.random(50), c=rng.random(50))
axes[1, 0].bar(["a", "b", "c"], [3, 7, 5])
axes[1, 1].hist(rng.normal(size=300), bins=20)
for axis, title in zip(axes.flat, ["square", "points", "bars", "histogram"]):
    axis.set_title(title)
figure.suptitle("Four kinds")
plt.tight_layout()
plt.show()
"""

FRAME_BARS = """\
import pandas as pd
import matplotlib.pyplot as plt

frame = pd.DataFrame({"2025": [30, 45, 25], "2026": [35, 40, 30]}, index=["north", "south", "west"])
frame.plot.bar(rot=0, title="Sales")
plt.show()
"""

SEABORN_LIKE = """\
import numpy as np
import matplotlib.pyplot as plt
from scipy import stats

plt.style.use("ggplot")
rng = np.random.default_rng(5)
data = rng.normal(size=(200, 4)) @ rng.normal(size=(4, 4))
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
grid = np.linspace(data.min(), data.max(), 200)
for column in range(4):
    left.fill_between(grid, stats.gaussian_kde(data[:, column])(grid), alpha=0.4, label=f"x{column}")
left.legend()
correlation = np.corrcoef(data.T)
image = right.imshow(correlation, cmap="coolwarm", vmin=-1, vmax=1)
for (row, column), value in np.ndenumerate(correlation):
    right.text(column, row, f"{value:.2f}", ha="center", va="center")
figure.colorbar(image, ax=right)
plt.show()
"""

SCIPY_STATS = """\
import numpy as np
from scipy import stats

rng = np.random.default_rng(6)
before, after = rng.normal(50, 8, 40), rng.normal(54, 8, 40)
print(stats.ttest_ind(before, after).pvalue.round(4), stats.shapiro(before).pvalue.round(4))
print(stats.linregress(before, after).slope.round(4), stats.norm.ppf(0.975).round(4))
print(stats.chi2_contingency([[20, 30], [25, 25]]).pvalue.round(4))
"""

SCIPY_OPTIMIZE = """\
import numpy as np
from scipy import optimize

x = np.linspace(0, 4, 50)
y = 2.5 * np.exp(-1.3 * x) + 0.5 + np.random.default_rng(7).normal(0, 0.05, 50)
found, _ = optimize.curve_fit(lambda x, a, b, c: a * np.exp(-b * x) + c, x, y)
print(found.round(1))
print(optimize.brentq(lambda x: x**3 - 2 * x - 5, 2, 3))
print(optimize.minimize(optimize.rosen, [1.3, 0.7], method="BFGS").x.round(3))
"""

SYMPY = """\
from sympy import Eq, cos, integrate, sin, simplify, solve, symbols

x, y = symbols("x y")
print(integrate(x**2 * sin(x), x))
print(solve(x**3 - 6 * x**2 + 11 * x - 6, x), solve([Eq(x + y, 5), Eq(x - y, 1)], [x, y]))
print(simplify(sin(x) ** 2 + cos(x) ** 2 + (x**2 - 1) / (x - 1)))
"""

LOOP = """\
total = 0
for number in range({count}):
    total += number * number % 7
print(total)
"""

PROGRAMS = (
    Program("print", 0.3, "print(1)"),
    Program("a loop of 70 ms", 1.0, LOOP.format(count=400_000)),
    Program("the everyday standard library", 0.4, STANDARD_LIBRARY),
    Program("asyncio", 0.1, ASYNCIO),
    Program("unittest, three tests", 0.4, UNITTEST),
    Program("a grader: exec, redirected output, JSON", 0.4, GRADER, policy="off"),
    Program("sqlite3", 0.4, SQLITE),
    Program("numpy", 0.1, NUMPY),
    Program("pandas: groupby, resample, describe", 0.1, PANDAS),
    Program("a line plot", 0.2, LINE_PLOT, ms=100),
    Program("a histogram", 0.2, HISTOGRAM, ms=100),
    Program("four subplots, tight_layout", 0.4, SUBPLOTS),
    Program("bars of a DataFrame", 0.2, FRAME_BARS, ms=100),
    Program("density, heat map, colour bar", 0.4, SEABORN_LIKE),
    Program("scipy.stats", 0.05, SCIPY_STATS),
    Program("scipy.optimize", 0.05, SCIPY_OPTIMIZE),
    Program("sympy: integrate, solve, simplify", 0.2, SYMPY),
)

A_PLOT = next(program for program in PROGRAMS if program.code == LINE_PLOT)
"""The one that stands for all plots where there is place for one."""
