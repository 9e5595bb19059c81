"""Imports before the first fork, and a first use of each library that was imported.

Importing is not all that a library does once. It finds its fonts, compiles its patterns and fills its tables when it is
used for the first time. So each library that is known here is used once, as a learner would use it, and what that use
leaves in sight is put back: the process that every program is a copy of must look as one that has only imported.

This is done as the user of the programs, so that what a library makes for itself (a directory, say) is as that user can
make it, and is wiped with the box. Whatever goes wrong costs speed and nothing else. But what a fork could not bear (a
thread, a descriptor that stays open) ends the sandbox: see `Footing`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class UnfitError(Exception):
    """After the warm-up, this process is none to be copied."""


class Footing:
    """What a process has of the kernel: its descriptors and its threads. Neither may be more after the warm-up."""

    def __init__(self) -> None:
        self._descriptors = _descriptors()

    def check(self) -> None:
        """Raise ``UnfitError`` where there is more than there was."""
        gc.collect()
        left = _descriptors() - self._descriptors
        if left:
            raise UnfitError(f"what was imported holds descriptors: {sorted(left)}")
        threads = len(os.listdir("/proc/self/task"))
        if threads != 1:
            raise UnfitError(f"what was imported started threads: {threads - 1}")


def _descriptors() -> set[int]:
    found = set(map(int, os.listdir("/proc/self/fd")))
    return {fd for fd in found if _is_open(fd)}  # not the one that the list was read from


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


class Weight(NamedTuple):
    """Of this process, in bytes: ``data`` as RLIMIT_DATA counts it, and the ``memory`` that is its own."""

    data: int
    memory: int

    def __sub__(self, before: Weight) -> Weight:
        return Weight(max(0, self.data - before.data), max(0, self.memory - before.memory))


def weight() -> Weight:
    """Weigh this process; what a kernel does not tell (gVisor) is 0."""
    with open("/proc/self/status") as file:
        kilobytes = dict(line.split(":", 1) for line in file if line.endswith(" kB\n"))
    return Weight(*(int(kilobytes.get(name, "0").split()[0]) << 10 for name in ("VmData", "RssAnon")))


def preload(names: tuple[str, ...], uid: int | None) -> list[str]:
    """Import modules and use them once, as the user ``uid`` (None: as this one); return what did not go, and why."""
    notes: list[str] = []
    if not names:
        return notes
    with _as_user(uid), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        notes += filter(None, map(_imported, names))  # with what filters of warnings they set
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            notes += _used()
    return notes


def _used() -> Iterator[str]:
    for name in [name for name in _USES if name in sys.modules]:
        try:
            _USES.pop(name)()
        except Exception as error:  # what a library does at its first use must not stop the sandbox
            yield f"first use of {name}: {error}"


def _imported(name: str) -> str | None:
    before = set(sys.modules)
    try:
        importlib.import_module(name)
    except Exception as error:  # nor what it does at its import
        package = name.partition(".")[0]
        for half in [each for each in sys.modules.keys() - before if each.partition(".")[0] == package]:
            del sys.modules[half]  # what it imported of itself would make the program's import fail
        return f"{name}: {error}"
    return None


@contextlib.contextmanager
def _as_user(uid: int | None) -> Iterator[None]:
    """Be this user, and for those that ask for the real one too; be able to come back."""
    if uid is None:
        yield
        return
    before_uid, before_gid = os.getuid(), os.getgid()
    os.setresgid(uid, uid, before_gid)
    os.setresuid(uid, uid, before_uid)
    try:
        yield
    finally:
        os.setresuid(before_uid, before_uid, before_uid)
        os.setresgid(before_gid, before_gid, before_gid)


# ---- a first use of each


def _use_asyncio() -> None:
    import asyncio

    async def both() -> None:
        await asyncio.gather(asyncio.sleep(0), asyncio.sleep(0))

    asyncio.run(both())


def _use_dataclasses() -> None:
    import dataclasses

    point = dataclasses.make_dataclass("Point", [("x", int), ("y", int, 0)], order=True)
    sorted([point(2), point(1)])
    repr(point(1))


def _use_datetime() -> None:
    import datetime

    datetime.datetime.strptime("2026-01-02 03:04:05", "%Y-%m-%d %H:%M:%S").strftime("%A %d %B")  # noqa: DTZ007


def _use_sqlite3() -> None:
    import sqlite3

    with contextlib.closing(sqlite3.connect(":memory:")) as base:
        base.execute("CREATE TABLE t (a INTEGER, b TEXT)")
        base.executemany("INSERT INTO t VALUES (?, ?)", [(1, "x"), (2, "y")])
        base.execute("SELECT a, count(*) FROM t GROUP BY b ORDER BY a").fetchall()


def _use_unittest() -> None:
    import unittest

    class Case(unittest.TestCase):
        def test_one(self) -> None:
            self.assertEqual(1, 1)
            with self.assertRaises(ValueError):
                int("x")

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Case)
    unittest.TextTestRunner(stream=io.StringIO()).run(suite)


def _use_numpy() -> None:
    np: Any = sys.modules["numpy"]

    numbers = np.arange(12.0).reshape(3, 4)
    np.linalg.solve(np.eye(3) * 2, numbers)
    np.sort(np.random.default_rng(1).normal(size=50)).mean()
    repr(numbers), str(numbers.astype(int)), repr(np.float64(0.5))


def _use_pandas() -> None:
    pd: Any = sys.modules["pandas"]

    frame = pd.DataFrame({"a": [1, 2, 3, 4], "b": list("xyxy"), "c": [0.5, 1.5, None, 2.5]})
    frame.groupby("b")["c"].agg(["mean", "sum"])
    frame.merge(frame, on="a").describe()
    pd.read_csv(io.StringIO("a,b\n1,2020-01-01\n2,2020-01-02\n"), parse_dates=["b"]).set_index("b").resample("D").mean()
    repr(frame), frame._repr_html_(), frame.sort_values("a").iloc[:2].to_string()  # what a notebook shows


def _use_pyplot() -> None:
    plt: Any = sys.modules["matplotlib.pyplot"]
    changed = (plt.rcParams, plt.rcParamsDefault, sys.modules["matplotlib.units"].registry)
    before = [dict(each) for each in changed]
    try:
        figure, axes = plt.subplots(2, 2)
        axes[0, 0].plot([1, 2, 3], [1, 4, 9], "o-", label="a")
        axes[0, 0].legend()
        axes[0, 0].set_title("Title, $x^2$")
        axes[0, 1].hist([1, 2, 2, 3])
        axes[1, 0].bar(["x", "y"], [1, 2])
        axes[1, 0].grid(visible=True)
        figure.colorbar(axes[1, 1].imshow([[1, 2], [3, 4]]))
        axes[0, 1].set_yscale("log")
        figure.tight_layout()
        figure.savefig(io.BytesIO(), format="png")
        if (pandas := sys.modules.get("pandas")) is not None:
            frame = pandas.DataFrame({"a": [1, 2], "b": [2, 1]})
            frame.plot().figure.savefig(io.BytesIO(), format="png")
            frame.plot.bar().figure.savefig(io.BytesIO(), format="png")
    finally:
        plt.close("all")
        for each, content in zip(changed, before, strict=True):
            dict.clear(each)
            dict.update(each, content)
        _close_fonts()


def _close_fonts() -> None:
    """Let go of every font: one that was used has its file open, and a child closes what it does not know."""
    for module, path in (
        ("matplotlib.font_manager", "_get_font"),
        ("matplotlib.mathtext", "MathTextParser._parse_cached"),
        ("matplotlib.text", "_get_text_metrics_with_cache_impl"),
    ):
        thing: Any = sys.modules.get(module)
        for name in path.split("."):
            thing = getattr(thing, name, None)
        if (clear := getattr(thing, "cache_clear", None)) is not None:
            clear()


def _use_stats() -> None:
    stats: Any = sys.modules["scipy.stats"]

    stats.ttest_ind([1.0, 2, 3], [2.0, 3, 5])
    stats.norm.cdf([0.0, 1.0])
    stats.linregress([1.0, 2, 3], [2.0, 4, 7])


def _use_optimize() -> None:
    optimize: Any = sys.modules["scipy.optimize"]

    optimize.minimize(lambda x: (x[0] - 1) ** 2, [0.0])
    optimize.brentq(lambda x: x - 1, 0, 3)
    optimize.curve_fit(lambda x, a: a * x, [1.0, 2], [2.0, 4])


def _use_sympy() -> None:
    sympy: Any = sys.modules["sympy"]
    x = sympy.Symbol("x")
    sympy.integrate(x * sympy.sin(x), x)
    sympy.solve(x**2 - 2, x)
    sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2)
    sympy.limit(sympy.sin(x) / x, x, 0)
    sympy.series(sympy.exp(x), x, 0, 4)
    sympy.latex(sympy.sqrt(x) / 2)
    sympy.core.cache.clear_cache()


_USES: dict[str, Callable[[], None]] = {
    "dataclasses": _use_dataclasses,
    "datetime": _use_datetime,
    "asyncio": _use_asyncio,
    "unittest": _use_unittest,
    "sqlite3": _use_sqlite3,
    "numpy": _use_numpy,
    "pandas": _use_pandas,
    "matplotlib.pyplot": _use_pyplot,
    "scipy.stats": _use_stats,
    "scipy.optimize": _use_optimize,
    "sympy": _use_sympy,
}
