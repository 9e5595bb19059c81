"""A look at a source: which kind of sandbox has imported what it needs. A wrong guess costs time, and nothing else.

Kinds are numbered: 0 has nothing of the libraries, and each later one has what those before it have. The look is a
plain search for names, wherever they stand, so that it costs next to nothing on the largest source (a regular
expression for them takes ten times as long, and one that spans a line can be made to take for ever).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_BUILT_ON = {
    "networkx": ("numpy",),
    "pylab": ("matplotlib",),
    "seaborn": ("matplotlib", "scipy"),
    "skimage": ("scipy",),
    "sklearn": ("scipy",),
    "statsmodels": ("scipy",),
}
"""What else needs a library without naming it."""

_PLOTS = (b".plot", b".hist", b".boxplot")
"""With pandas, these need matplotlib."""


class Looks:
    """``kinds``: the modules that each kind has beyond those before it, from kind 1 on."""

    def __init__(self, kinds: Sequence[Iterable[str]]) -> None:
        self._first: dict[str, int] = {}
        for number, modules in enumerate(kinds, 1):
            for module in modules:
                self._first.setdefault(module.partition(".")[0], number)
        words = dict(self._first)
        for name, needs in _BUILT_ON.items():
            found = [self._first[need] for need in needs if need in self._first]
            if found:
                words.setdefault(name, max(found))
        self._words = sorted(((number, word.encode()) for word, number in words.items()), reverse=True)
        self._plots = self._first.get("matplotlib", 0) if "pandas" in self._first else 0

    @property
    def for_sessions(self) -> int:
        """The kind for one whose imports are not known: the one for plots, or else the largest."""
        return self._first.get("matplotlib") or max(self._first.values(), default=0)

    def kind(self, *sources: bytes) -> int:
        """Return the least kind that has all that is named in the sources of one program."""
        return max(map(self._kind, sources), default=0)

    def _kind(self, source: bytes) -> int:
        for number, word in self._words:
            if word in source:
                if number < self._plots and b"pandas" in source and any(sign in source for sign in _PLOTS):
                    return self._plots
                return number
        return 0
