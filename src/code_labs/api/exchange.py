"""Labs as files: what other systems export comes in, and labs go out."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from code_labs.errors import ExchangeError, LabError
from code_labs.labs import Lab, lab_object, lab_of
from code_labs.labs.formats import (
    Imported,
    export_coderunner,
    export_nbgrader,
    import_coderunner,
    import_exercism,
    import_nbgrader,
)

LARGEST = 8 << 20
_MOST_FILES, _MOST_LABS = 1000, 500


def read_labs(data: bytes, kind: str) -> Imported:
    """Read a file of a format; raise ``ExchangeError`` or ``LabError``."""
    if len(data) > LARGEST:
        raise ExchangeError(f"the file is larger than {LARGEST:,} bytes")
    match kind:
        case "coderunner":
            return import_coderunner(data)
        case "nbgrader":
            return import_nbgrader(data)
        case "exercism":
            return _read_exercism(data)
    return _read_json(data)


def _read_json(data: bytes) -> Imported:
    """Read a lab, a list of labs, or an object that has them in ``labs``."""
    try:
        said: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ExchangeError(f"this is not JSON: {error}") from None
    if isinstance(said, dict):
        said = said.get("labs", [said])
    if not isinstance(said, list) or not all(isinstance(each, dict) for each in said):
        raise ExchangeError("this is neither a lab nor a list of labs")
    if not 0 < len(said) <= _MOST_LABS:
        raise ExchangeError(f"a file has 1 to {_MOST_LABS} labs")
    labs, dropped = [], []
    for number, each in enumerate(said, 1):
        try:
            labs.append(lab_of(each))
        except LabError as error:
            dropped.append(f"lab {each.get('id', number)}: {error}")
    if not labs:
        raise ExchangeError(dropped[0])
    return Imported(tuple(labs), tuple(dropped))


def _read_exercism(data: bytes) -> Imported:
    """Read a zip of one exercise's directory, or of several."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, TemporaryDirectory() as directory:
            _unpack(archive, Path(directory))
            roots = sorted(path.parent.parent for path in Path(directory).rglob(".meta/config.json"))
            if not roots:
                raise ExchangeError("the zip has no exercise: none of its directories has .meta/config.json")
            read = [import_exercism(root) for root in roots[:_MOST_LABS]]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ExchangeError(f"this is not a zip that can be read: {error}") from None
    return Imported(
        tuple(lab for each in read for lab in each.labs), tuple(sentence for each in read for sentence in each.dropped)
    )


def _unpack(archive: zipfile.ZipFile, directory: Path) -> None:
    """Write the files of an archive, of a bounded size, inside a directory; raise ``ExchangeError``."""
    members = [each for each in archive.infolist() if not each.is_dir()]
    if len(members) > _MOST_FILES or sum(each.file_size for each in members) > LARGEST:
        raise ExchangeError(f"the zip has more than {_MOST_FILES} files, or {LARGEST:,} bytes")
    left = LARGEST
    for member in members:
        steps = member.filename.replace("\\", "/").split("/")
        if any(step in ("", ".", "..") or "\0" in step for step in steps):
            raise ExchangeError(f"the zip has a file with the path {member.filename!r}")
        path = directory.joinpath(*steps)
        with archive.open(member) as file:
            content = file.read(left + 1)  # what a member says of its size may not be so
        left -= len(content)
        if left < 0:
            raise ExchangeError(f"the zip has more than {LARGEST:,} bytes")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:
            raise ExchangeError(f"the zip has a file with the path {member.filename!r}") from None


def written(labs: Sequence[Lab], kind: str) -> tuple[bytes, str, str]:
    """Return labs as a file of a format, with its media type and name; raise ``LabsError``."""
    match kind:
        case "coderunner":
            return export_coderunner(labs).text.encode(), "application/xml", "labs.xml"
        case "nbgrader":
            return _notebooks(labs), "application/zip", "labs.zip"
    text = json.dumps([lab_object(lab) for lab in labs], indent=2, ensure_ascii=False)
    return text.encode(), "application/json", "labs.json"


def _notebooks(labs: Sequence[Lab]) -> bytes:
    """Return a zip with a notebook for each lab, and a file that says what notebooks cannot hold."""
    buffer, notes = io.BytesIO(), []
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for lab in labs:
            made = export_nbgrader(lab)
            archive.writestr(f"{lab.id}.ipynb", made.text)
            notes += [f"{lab.id}: {sentence}" for sentence in made.dropped]
        if notes:
            archive.writestr("dropped.txt", "\n".join(notes) + "\n")
    return buffer.getvalue()
