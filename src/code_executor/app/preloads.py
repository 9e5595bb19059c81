"""What is imported before programs arrive, if nothing else is set, and how it is written down."""

from __future__ import annotations

import sys
from collections.abc import Sequence

STANDARD = tuple(
    """
    bisect calendar cmath copy csv dataclasses datetime decimal fractions heapq pprint queue random statistics string
    timeit
    """.split()  # noqa: SIM905  # a page of names otherwise
)
"""Of the standard library: what most learners import. It is in every sandbox, so it must be light."""

LARGER = tuple(
    """
    argparse asyncio concurrent.futures difflib hashlib html.parser logging multiprocessing pickle secrets sqlite3
    tempfile unittest urllib.parse uuid xml.etree.ElementTree zipfile zoneinfo
    """.split()  # noqa: SIM905  # likewise
)
"""Of the standard library: what is larger, but for what needs a network. None starts a thread or keeps a descriptor."""

KINDS = (
    (*LARGER, "numpy", "pandas"),
    ("matplotlib.pyplot",),
    (
        *("scipy.stats", "scipy.optimize", "scipy.linalg", "scipy.integrate", "scipy.interpolate", "scipy.signal"),
        "sympy",
    ),
)
"""What each kind of sandbox has beyond those before it, from the second on."""

PLAIN = "plain"
_NAMES = {"pandas": "data", "matplotlib.pyplot": "plots", "sympy": "science"}


def names(kinds: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return what the kinds are called, the plain one first: as in the docs, or else after their first library."""
    called = [PLAIN]
    for kind in kinds:
        libraries = [module for module in kind if module.partition(".")[0] not in sys.stdlib_module_names]
        name = next((_NAMES[module] for module in libraries if module in _NAMES), (libraries or kind)[0])
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
