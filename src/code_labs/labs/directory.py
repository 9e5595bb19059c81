"""A lab as a directory: files that a teacher edits and git compares.

    lab.toml       id, title, goals, hints, [video]
    task.md        what the learner reads
    starter.py     solution.py
    tests.toml     [[tests]]
    files/         what lies beside the program

In ``tests.toml`` a value that TOML has no word for is JSON text: ``expectedJson = "[null]"``.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from datetime import date, time
from pathlib import Path
from typing import Any

from code_labs.errors import LabError
from code_labs.labs import toml
from code_labs.labs.model import LARGEST_FILE, Lab, lab_object, lab_of

_VALUES = ("args", "kwargs", "expected", "arguments")
_TEXTS = {"task": "task.md", "starter": "starter.py", "solution": "solution.py"}
_MOST_FILES = 50


def read_lab(directory: str | Path) -> Lab:
    """Read a directory; raise ``LabError`` that names the file and the field."""
    root = Path(directory)
    if not (root / "lab.toml").is_file():
        raise LabError(f"{root}: there is no lab.toml")
    said = _toml(root / "lab.toml")
    for field, name in _TEXTS.items():
        if (root / name).exists():
            if field in said:
                raise LabError(f"{root}: {field} is in lab.toml and in {name}: keep one")
            said[field] = _text(root / name)
    if (root / "tests.toml").exists():
        suite = _toml(root / "tests.toml")
        suite["tests"] = [_plain(test) for test in suite.get("tests") or []]
        said["suite"] = suite
    if (root / "files").is_dir():
        said["files"] = _files(root / "files")
    try:
        return lab_of(said)
    except LabError as error:
        raise LabError(f"{root}: {error}") from None


def write_lab(lab: Lab, directory: str | Path) -> None:
    """Write a directory; raise ``LabError``. Files that the lab has not are removed, but for those below ``files``."""
    root = Path(directory)
    said = lab_object(lab)
    suite = said.pop("suite", None)
    said.pop("files", None)
    texts = {name: said.pop(field, "") for field, name in _TEXTS.items()}
    video = said.pop("video", None)
    head = toml.table(said) + (f"\n[video]\n{toml.table(video)}" if video else "")
    try:
        root.mkdir(parents=True, exist_ok=True)
        _put(root / "lab.toml", head)
        for name, text in texts.items():
            _put(root / name, text)
        _put(root / "tests.toml", _suite(suite) if suite else "")
        for file in lab.files:
            path = root / "files" / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file.content, encoding="utf-8", newline="")
    except OSError as error:
        raise LabError(f"{root}: {error.strerror}") from None


def _put(path: Path, text: str) -> None:
    if text:
        path.write_text(text, encoding="utf-8", newline="")
    else:
        path.unlink(missing_ok=True)


def _suite(suite: dict[str, Any]) -> str:
    tests = suite.pop("tests")
    parts = [toml.table(suite)] if suite else []
    for test in tests:
        written = {}
        for name, value in sorted(test.items(), key=lambda item: (item[0] != "id", item[0] != "kind")):
            if toml.can_say(value):
                written[name] = value
            else:
                written[f"{name}Json"] = json.dumps(value)
        parts.append("[[tests]]\n" + toml.table(written))
    return "\n".join(parts)


def _plain(test: Any) -> Any:
    """Read what is JSON text."""
    if not isinstance(test, Mapping):
        return test
    plain = dict(test)
    for name in _VALUES:
        text = plain.pop(f"{name}Json", None)
        if text is None:
            continue
        try:
            plain[name] = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            raise LabError(f"tests.toml: {name}Json of the test {test.get('id')!r} is not JSON") from None
    return plain


def _toml(path: Path) -> dict[str, Any]:
    try:
        said = tomllib.loads(_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise LabError(f"{path}: {error}") from None
    if _has_date(said):
        raise LabError(f"{path}: dates are no values here; put them into quotes")
    return said


def _has_date(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_date, value.values()))
    return any(map(_has_date, value)) if isinstance(value, list) else isinstance(value, date | time)


def _text(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        raise LabError(f"{path}: must be a plain file, not a link or a device")
    try:
        with path.open("rb") as file:
            data = file.read(4 * LARGEST_FILE + 1)
        if len(data) > 4 * LARGEST_FILE:
            raise LabError(f"{path}: is larger than {4 * LARGEST_FILE:,} bytes")
        return data.decode()
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LabError(f"{path}: is not UTF-8") from None


def _files(root: Path) -> list[dict[str, str]]:
    """Read the files below a directory. Links are not followed: they may lead out of it."""
    found = []
    for parent, directories, names in os.walk(root):
        directories.sort()
        for name in sorted(names):
            path = Path(parent) / name
            found.append({"path": path.relative_to(root).as_posix(), "content": _text(path)})
            if len(found) > _MOST_FILES:
                raise LabError(f"{root}: has more than {_MOST_FILES} files")
    return found
