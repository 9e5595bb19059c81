"""An image of a sandbox with this machine's own Python: made of files, in seconds, without a base and a network.

It has what the `Dockerfile` puts into an image, as far as programs need it: the interpreter with its standard library
and the shared libraries of both, a virtual environment in /opt/sandbox, and the agent.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.venvs import BASE, install

ROOT = Path(__file__).parent.parent
LABEL = "code-executor.sources"

FACTS = """
import json, os, sys, sysconfig
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "executable": os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable),
    "library": os.path.dirname(os.path.realpath(os.__file__)),
    "compiled": sysconfig.get_config_var("DESTSHARED"),
}))
"""

_NOT_NEEDED = re.compile(
    r"test|tests|idlelib|tkinter|turtledemo|ensurepip|lib2to3|site-packages|dist-packages|config-3.*|.*\.pyc?\.\d+"
)
_LIBRARY = re.compile(r"(/\S+) \(0x")


@functools.cache
def facts(python: str) -> dict[str, str]:
    """Return what an interpreter says of itself; nothing if it does not answer."""
    if not Path(python).exists():
        return {}
    done = subprocess.run([python, "-I", "-c", FACTS], capture_output=True, text=True, timeout=60, check=False)
    return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def another_than(version: str) -> str | None:
    """Return the path of an interpreter of this machine with another version than this (as 3.13), if there is one."""
    names = [f"python3.{minor}" for minor in range(11, 20)]
    found = [f"/usr/bin/{name}" for name in names] + [str(BASE), *filter(None, map(shutil.which, names))]
    return next((path for path in found if facts(path).get("version", version) != version), None)


def make_image(tag: str, python: str, /, **packages: str) -> str:
    """Make an image of that interpreter and these packages, unless it is there and its files are still the same."""
    with tempfile.TemporaryFile() as packed:
        with tarfile.open(fileobj=packed, mode="w") as archive:
            content = dict(_content(python, packages))
            for directory in sorted({str(parent) for name in content for parent in Path(name).parents} - {"."}):
                content[f"{directory}/"] = b""
            for name in sorted(content):  # a directory comes before what is in it
                _add(archive, name, content[name])
        packed.seek(0)
        sources = hashlib.file_digest(packed, "sha256").hexdigest()
        if _label(tag) == sources:
            return tag
        packed.seek(0)
        command = ["docker", "import", "--change", f"LABEL {LABEL}={sources}", "-", tag]
        subprocess.run(command, stdin=packed, stdout=subprocess.DEVNULL, timeout=120, check=True)
    return tag


def _label(tag: str) -> str:
    command = ["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', tag]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()


def _content(python: str, packages: dict[str, str]) -> Iterator[tuple[str, Path | str | bytes]]:
    """Yield names in the image: with a file of this machine, with the text of a link, or with bytes."""
    known = facts(python)
    executable, library, version = Path(known["executable"]), Path(known["library"]), known["version"]
    inside, compiled = f"usr/lib/python{version}", Path(known["compiled"])
    yield f"usr/bin/python{version}", executable
    yield from _tree(inside, library)
    if not compiled.is_relative_to(library):
        yield from _tree(f"{inside}/lib-dynload", compiled)
    for path in sorted(_shared(executable, *compiled.glob("*.so"))):
        yield path[1:], Path(path)
        if not path.startswith(("/lib", "/usr/lib")):  # where only its owner would look for it
            yield f"usr/lib/{Path(path).name}", Path(path)
    yield from _tree("opt/agent/sandbox_agent", ROOT / "src/sandbox_agent", cached=False)
    for name in ("python", "python3"):
        yield f"opt/sandbox/bin/{name}", f"/usr/bin/python{version}"
    yield "opt/sandbox/pyvenv.cfg", b"home = /usr/bin\ninclude-system-site-packages = false\n"
    with tempfile.TemporaryDirectory() as site:
        for name, number in packages.items():
            install(Path(site), name, number)
        found = [
            (path, read.read_bytes())
            for path, read in _tree(f"opt/sandbox/lib/python{version}/site-packages", Path(site))
        ]
    yield from found
    for name in ("passwd", "group"):
        yield f"opt/accounts/{name}", b"root:x:0:0:root:/root:/bin/sh\n" if name == "passwd" else b"root:x:0:\n"
        yield f"etc/{name}", f"/opt/accounts/{name}"
    for directory in ("work/", "tmp/", "proc/", "sys/", "dev/"):
        yield directory, b""


def _tree(name: str, top: Path, *, cached: bool = True) -> Iterator[tuple[str, Path]]:
    """Yield the files below a directory, without tests, and with what Python has compiled if ``cached``."""
    for path in sorted(top.iterdir()):
        if _NOT_NEEDED.fullmatch(path.name) or (path.name == "__pycache__" and not cached):
            continue
        if path.is_dir():
            yield from _tree(f"{name}/{path.name}", path, cached=cached)
        elif path.is_file():
            yield f"{name}/{path.name}", path


def _shared(*files: Path) -> set[str]:
    """Return the shared libraries that these need, what loads them, and what the C library needs to end a thread."""
    done = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, timeout=60, check=False)
    found = set(_LIBRARY.findall(done.stdout))
    beside = {str(Path(path).with_name("libgcc_s.so.1")) for path in found if "/libc.so." in path}
    return found | {path for path in beside if Path(path).exists()}


def _add(archive: tarfile.TarFile, name: str, source: Path | str | bytes) -> None:
    """Add one thing, which is root's. A file of this machine keeps its time, by which Python knows what it compiled."""
    about = tarfile.TarInfo(name.rstrip("/"))
    if isinstance(source, str):
        about.type, about.linkname = tarfile.SYMTYPE, source
        archive.addfile(about)
    elif name.endswith("/"):
        about.type, about.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(about)
    else:
        data = source.read_bytes() if isinstance(source, Path) else source
        about.size = len(data)
        if isinstance(source, Path):
            status = source.stat()
            about.mode = 0o755 if status.st_mode & 0o111 else 0o644
            about.mtime = 0 if source.is_relative_to(ROOT) else int(status.st_mtime)
        archive.addfile(about, io.BytesIO(data))
