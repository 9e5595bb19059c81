"""What is imported before programs arrive, if nothing else is set, and how it is written down."""

from __future__ import annotations

from collections.abc import Sequence

STANDARD = tuple(
    """
    argparse asyncio bisect calendar cmath concurrent.futures copy csv dataclasses datetime decimal difflib
    fractions hashlib heapq html.parser logging multiprocessing pickle pprint queue random secrets sqlite3
    statistics string tempfile timeit unittest urllib.parse uuid xml.etree.ElementTree
    zipfile zoneinfo
    """.split()  # noqa: SIM905  # a page of names otherwise
)
"""Of the standard library: what learners import, but for what needs a network. None of them starts a thread or keeps a
descriptor."""

KINDS = (
    ("numpy", "pandas"),
    ("matplotlib.pyplot",),
    (
        *("scipy.stats", "scipy.optimize", "scipy.linalg", "scipy.integrate", "scipy.interpolate", "scipy.signal"),
        "sympy",
    ),
)
"""What each kind of sandbox has beyond those before it, from the second on."""

PLAIN = "plain"
_NAMES = dict(zip(KINDS, ("data", "plots", "science"), strict=True))


def names(kinds: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return what the kinds are called, the plain one first: as in the docs, or else after their first module."""
    called = [PLAIN]
    for kind in kinds:
        name = _NAMES.get(kind, kind[0])
        called.append(f"{name}-{len(called)}" if name in called else name)
    return tuple(called)


def parse_list(value: object) -> object:
    """Read ``a, b,c`` as three names."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def parse_kinds(value: object) -> object:
    """Read ``a,b;c`` as two kinds of sandboxes: one with two modules, one with a third. Names alone are one kind."""
    if isinstance(value, str):
        value = [parse_list(part) for part in value.split(";")]
    if isinstance(value, list | tuple) and value and all(isinstance(each, str) for each in value):
        value = [value]
    return tuple(kind for kind in value if kind) if isinstance(value, list | tuple) else value
