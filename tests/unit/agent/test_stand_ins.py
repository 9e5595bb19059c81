"""What the standard library does by a program, or by a call that is refused, is done otherwise."""

from __future__ import annotations

import ctypes.util
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox_agent.child import stand_ins

SRC = Path(stand_ins.__file__).parents[2]


def interpreted(code: str, cwd: Path | None = None) -> Any:
    """Return what a fresh interpreter, where every program is refused, finds as ``answer``."""
    prelude = (
        f"import sys; sys.path.append({str(SRC)!r})\n"
        "import _posixsubprocess, json\n"
        "from sandbox_agent.child import stand_ins\n"
        "def refuse(*_): raise PermissionError(1, 'Operation not permitted')\n"
        "_posixsubprocess.fork_exec = refuse\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{prelude}{code}\nprint(json.dumps(answer))"],
        cwd=cwd,
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


WHEN = {"before the import": ("stand_ins.install()", ""), "after the import": ("", "stand_ins.install()")}


@pytest.fixture(params=WHEN)
def when(request: pytest.FixtureRequest) -> tuple[str, str]:
    """What is done before the modules of the test are imported, and after."""
    return WHEN[request.param]


def test_nothing_is_imported_for_it() -> None:
    code = "before = set(sys.modules)\nstand_ins.install()\nanswer = sorted(set(sys.modules) - before)"
    assert interpreted(code) == []


def test_the_import_system_looks_as_it_did() -> None:
    code = (
        "before = [*map(str, sys.meta_path), *map(str, sys.path_hooks)]\nstand_ins.install()\n"
        "import multiprocessing.context as module, importlib.util\n"
        "answer = [before == [*map(str, sys.meta_path), *map(str, sys.path_hooks)],\n"
        "          vars(module.__loader__).keys() == vars(json.__loader__).keys(),\n"
        "          importlib.util.find_spec('no.such.thing' if False else 'nowhere')]"
    )
    assert interpreted(code) == [True, True, None]


def test_shared_memory_needs_no_tracker(when: tuple[str, str]) -> None:
    code = (
        f"{when[0]}\nfrom multiprocessing import resource_tracker, shared_memory\n{when[1]}\n"
        "memory = shared_memory.SharedMemory(create=True, size=9)\nmemory.buf[0] = 5\nanswer = [memory.buf[0]]\n"
        "memory.close(); memory.unlink()\n"
        "for _ in range(10_000): resource_tracker.register('/x', 'shared_memory')\n"
        "import os; os.close(resource_tracker.getfd())\n"
        "answer.append(os.path.realpath(f'/proc/self/fd/{resource_tracker.getfd()}'))"
    )
    assert interpreted(code) == [5, "/dev/null"]


def test_with_the_tracker_there_would_be_no_shared_memory() -> None:
    """A test of the test."""
    with pytest.raises(subprocess.CalledProcessError):
        interpreted("from multiprocessing import shared_memory\nshared_memory.SharedMemory(create=True, size=9)")


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("ask", ["set_start_method", "get_context"])
def test_another_way_to_start_processes_says_why_it_is_not_there(when: tuple[str, str], ask: str, method: str) -> None:
    code = (
        f"{when[0]}\nimport multiprocessing, traceback\n{when[1]}\n"
        f"try: multiprocessing.{ask}({method!r})\n"
        "except ValueError as error: answer = [str(error), traceback.format_exc()]"
    )
    said, trace = interpreted(code)
    assert f"'{method}' is not available here" in said
    assert "Use 'fork'" in said
    assert "sandbox_agent" not in trace


def test_fork_is_the_default_and_the_only_one(when: tuple[str, str]) -> None:
    code = (
        f"{when[0]}\nimport multiprocessing as mp\n{when[1]}\nanswer = [mp.get_start_method(), "
        "mp.get_all_start_methods(), mp.get_context().get_start_method(), type(mp.get_context('fork')).__name__]"
    )
    assert interpreted(code) == ["fork", ["fork"], "fork", "ForkContext"]


def test_a_connection_that_is_pickled_says_that_it_cannot_be(when: tuple[str, str]) -> None:
    code = (
        f"{when[0]}\nimport multiprocessing as mp\nfrom multiprocessing.reduction import ForkingPickler\n{when[1]}\n"
        "try: ForkingPickler.dumps(mp.Pipe()[0])\nexcept ValueError as error: answer = str(error)"
    )
    assert "SCM_RIGHTS" in interpreted(code)


def test_asyncio_writes_piece_by_piece(when: tuple[str, str]) -> None:
    code = f"{when[0]}\nimport asyncio.selector_events as module\n{when[1]}\nanswer = module._HAS_SENDMSG"
    assert interpreted(code) is False


def test_libraries_are_found_where_no_program_is_asked(when: tuple[str, str]) -> None:
    names = ["c", "m", "pthread", "no such", "", "c.so"]
    code = (
        f"{when[0]}\nimport ctypes.util, subprocess\n{when[1]}\n"
        f"answer = [ctypes.util.find_library(name) for name in {names}]"
    )
    assert interpreted(code) == [ctypes.util.find_library(name) for name in names]


def test_a_module_of_ones_own_with_such_a_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ctypes").mkdir()
    (tmp_path / "ctypes" / "__init__.py").write_text("")
    (tmp_path / "ctypes" / "util.py").write_text("mine = True")
    code = "stand_ins.install()\nfor n in [n for n in sys.modules if n.startswith('ctypes')]: del sys.modules[n]\n"
    code += "sys.path.insert(0, '.')\nimport ctypes.util\nanswer = sorted(n for n in vars(ctypes.util) if n[0] != '_')"
    assert interpreted(code, tmp_path) == ["mine"]


def cache_of(*libraries: tuple[int, str], count: int | None = None) -> bytes:
    """Make an ``ld.so.cache``."""
    texts, entries = b"", []
    start = 48 + 24 * len(libraries)
    for flags, name in libraries:
        entries.append(struct.pack("=iIIIQ", flags, start + len(texts), 0, 0, 0))
        texts += name.encode() + b"\0"
    header = struct.pack("=20sII20x", b"glibc-ld.so.cache1.1", len(libraries) if count is None else count, len(texts))
    return header + b"".join(entries) + texts


@pytest.mark.parametrize(
    ("cache", "names"),
    [
        pytest.param(cache_of((0x0303, "libz.so.1"), (0x0303, "libz.so")), ["libz.so.1", "libz.so"], id="in its order"),
        pytest.param(
            cache_of((0x0303, "liba.so"), (0x0003, "libb.so"), (0x0A03, "libc.so")), ["liba.so"], id="machine"
        ),
        pytest.param(b"ld.so-1.7.0" + bytes(5) + cache_of((0x0303, "liba.so")), ["liba.so"], id="behind an old one"),
        pytest.param(cache_of((0x0303, "liba.so"), count=10**9)[:60], [], id="cut off, with a count that is not true"),
        pytest.param(b"glibc-ld.so.cache1.1", [], id="nothing but its beginning"),
        pytest.param(b"", [], id="empty"),
    ],
)
def test_a_cache_is_read_for_this_machine(monkeypatch: pytest.MonkeyPatch, cache: bytes, names: list[str]) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert list(stand_ins._library_names(cache)) == names


def test_the_machines_own_cache_is_read() -> None:
    if not os.path.exists("/etc/ld.so.cache"):
        pytest.skip("no ld.so.cache here")
    assert "libc.so.6" in list(stand_ins._library_names(Path("/etc/ld.so.cache").read_bytes()))
