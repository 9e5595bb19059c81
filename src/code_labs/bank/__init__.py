"""A bank of labs by concept, of our own writing. A test verifies each. Use and change them as you like."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from code_labs.labs import Lab, read_lab
from code_labs.matching.features import features_of

DIRECTORY = Path(str(files(__name__) / "labs"))


@cache
def bank() -> tuple[Lab, ...]:
    """Return all labs, the easy ones of each concept first."""
    labs = [read_lab(path) for path in sorted(DIRECTORY.iterdir()) if (path / "lab.toml").is_file()]
    return tuple(sorted(labs, key=lambda lab: (lab.concepts[0], lab.difficulty, lab.id)))


def concepts() -> tuple[str, ...]:
    """Return the concepts that labs are about."""
    return tuple(dict.fromkeys(lab.concepts[0] for lab in bank()))


def about(concept: str) -> tuple[Lab, ...]:
    """Return labs about a concept, as ``loops``, and after them those whose solution uses it, as ``loops.while``."""
    first = [lab for lab in bank() if _has(lab.concepts, concept)]
    others = [lab for lab in bank() if lab not in first and _has(features_of(lab.solution).concepts, concept)]
    return (*first, *others)


def _has(tags: tuple[str, ...], concept: str) -> bool:
    return any(tag == concept or tag.startswith(f"{concept}.") for tag in tags)
