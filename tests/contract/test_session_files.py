"""Files of a living session: put, listed, read and deleted by a confined clerk, whatever the session does to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from code_executor import Executor, Output, Reason
from code_executor.core.errors import FileError, SessionBusyError, SessionUnknownError
from code_executor.core.models import Cell, File, FileAction, FileOrder, Interrupt
from code_executor.execution.session import Session

pytestmark = pytest.mark.anyio

WITHIN = 60.0


@pytest.fixture
async def session(executor: Executor) -> AsyncIterator[Session]:
    async with asyncio.timeout(WITHIN), executor.session() as opened:
        yield opened


async def listed(session: Session) -> dict[str, int]:
    return {entry.path: entry.size for entry in (await session.list_files()).entries}


async def fault(session: Session, action: FileAction, path: str, data: bytes = b"") -> str:
    with pytest.raises(FileError) as caught:
        await session.order(FileOrder(action, path, data))
    return caught.value.fault


async def run(session: Session, code: str) -> str:
    result = await session.run(code)
    assert result.reason is Reason.COMPLETED, result.error
    return result.output


# ---- there and back


async def test_what_is_put_is_there_for_the_next_cell_and_what_a_cell_makes_can_be_read(session: Session) -> None:
    data = bytes(range(256)) * 3
    assert await session.write_file("data/in.bin", data) is True
    await run(session, "import shutil\nshutil.copy('data/in.bin', 'out.bin');")
    assert await session.read_file("out.bin") == data
    assert await listed(session) == {"data/in.bin": 768, "out.bin": 768}
    assert await session.write_file("out.bin", b"") is False
    assert await run(session, "open('out.bin').read()") == "''\n"
    await session.delete_file("data/in.bin")
    assert await listed(session) == {"out.bin": 0}
    assert await fault(session, FileAction.GET, "data/in.bin") == "ENOENT"


async def test_a_new_session_has_no_files_and_its_state_survives_orders(session: Session) -> None:
    assert (await session.list_files()).entries == ()
    await run(session, "x = 1")
    await session.write_file("a", b"1")
    assert await run(session, "x") == "1\n"


async def test_the_largest_file_goes_in_and_out(executor: Executor, session: Session) -> None:
    data = b"0123456789abcdef" * (executor.limits.attachments // 16)
    await session.write_file("large", data)
    assert await run(session, "import os; os.stat('large').st_size") == f"{len(data)}\n"
    assert await session.read_file("large") == data
    await run(session, "open('large', 'a').write('x');")
    assert await fault(session, FileAction.GET, "large") == "TOO_LARGE"


async def test_names_that_people_use_go_in_and_out(session: Session) -> None:
    names = ["ä ö/ü.txt", "中" * 60, "a" * 255, "-rf", "a\nb", "%41", "..x", " "]
    for name in names:
        await session.write_file(name, name.encode())
    assert await listed(session) == {name: len(name.encode()) for name in names}
    assert [await session.read_file(name) for name in names] == [name.encode() for name in names]


async def test_many_orders_at_once_are_done_one_after_the_other(session: Session) -> None:
    await asyncio.gather(*(session.write_file(f"f{n}", bytes([n])) for n in range(8)))
    assert await run(session, "import os; sorted(os.listdir())") == f"{[f'f{n}' for n in range(8)]}\n"
    assert await asyncio.gather(*(session.read_file(f"f{n}") for n in range(8))) == [bytes([n]) for n in range(8)]


async def test_a_file_put_is_the_programs_own(session: Session) -> None:
    await session.write_file("d/f", b"1")
    code = (
        "import os, stat\nprint([oct(os.stat(p).st_mode) for p in ('d', 'd/f')], os.stat('d/f').st_uid == os.getuid())"
    )
    assert await run(session, code) == "['0o40755', '0o100644'] True\n"
    await run(session, "os.remove('d/f'); os.rmdir('d')")


async def test_an_order_that_nobody_waits_for_any_more_is_done_and_the_next_one_too(session: Session) -> None:
    task = asyncio.create_task(session.write_file("a", b"x" * (4 << 20)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    assert await session.write_file("b", b"1")
    assert await listed(session) == {"a": 4 << 20, "b": 1}


# ---- while a cell runs, and after the end


async def test_while_a_cell_runs_files_are_refused_and_the_cell_goes_on(session: Session) -> None:
    async for event in session.stream(Cell("print('go')\nimport time\ntime.sleep(60)")):
        if isinstance(event, Output) and event.data == "go\n":
            with pytest.raises(SessionBusyError, match="when it is over"):
                await session.list_files()
            session.send(Interrupt())
    assert await listed(session) == {}


async def test_a_cell_begins_when_an_order_under_way_is_done(session: Session) -> None:
    put = asyncio.create_task(session.write_file("a", b"x" * (4 << 20)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await run(session, "import os; os.stat('a').st_size") == f"{4 << 20}\n"
    assert await put


async def test_after_the_end_nothing_can_be_done(executor: Executor) -> None:
    async with executor.session() as session:
        await session.write_file("a", b"1")
    with pytest.raises(SessionUnknownError):
        await session.read_file("a")


async def test_an_order_is_over_when_its_session_is(executor: Executor) -> None:
    async with executor.session() as session:
        task = asyncio.create_task(session.write_file("a", b"x" * (4 << 20)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(SessionUnknownError):
        await task


# ---- what cannot be done


@pytest.mark.parametrize("action", list(FileAction)[1:])
async def test_nothing_is_done_through_a_link_or_a_file(session: Session, action: FileAction) -> None:
    await run(
        session, "import os\nos.symlink('/tmp', 'link'); open('/tmp/f', 'w').write('kept'); open('file', 'w').close()"
    )
    assert await fault(session, action, "link/f", b"new") in ("ENOTDIR", "ELOOP")
    assert await fault(session, action, "file/f", b"new") == "ENOTDIR"
    assert await run(session, "open('/tmp/f').read()") == "'kept'\n"


async def test_a_link_is_not_read_and_is_itself_replaced_or_deleted(session: Session) -> None:
    await run(session, "import os\nopen('/tmp/f', 'w').write('kept')\nfor n in 'ab': os.symlink('/tmp/f', n)")
    assert await fault(session, FileAction.GET, "a") == "NO_FILE"
    await session.write_file("a", b"new")
    await session.delete_file("b")
    assert await run(session, "open('/tmp/f').read(), os.path.islink('a'), os.listdir()") == "('kept', False, ['a'])\n"


async def test_a_directory_is_neither_read_nor_replaced_nor_deleted(session: Session) -> None:
    await session.write_file("d/f", b"1")
    actions = (FileAction.GET, FileAction.PUT, FileAction.DELETE)
    assert [await fault(session, action, "d") for action in actions] == ["EISDIR"] * 3
    assert await listed(session) == {"d/f": 1}


async def test_what_cannot_be_listed_is_counted(session: Session) -> None:
    code = """
import os, socket
os.symlink('nowhere', 'link')
open(b'\\xff', 'w').close()
os.mkdir('locked', 0)
os.mkdir('empty')
os.mkdir('__pycache__'); open('__pycache__/x.pyc', 'w').close()
open('seen', 'w').close()
"""
    await run(session, code)
    answer = await session.list_files()
    assert ([entry.path for entry in answer.entries], answer.omitted) == (["seen"], 3)


async def test_what_the_program_locked_stays_locked(session: Session) -> None:
    await run(session, "import os\nopen('f', 'w').write('x')\nos.chmod('f', 0)\nos.mkdir('d')\nos.chmod('d', 0o500);")
    assert await fault(session, FileAction.GET, "f") == "EACCES"
    assert await fault(session, FileAction.PUT, "d/x", b"1") == "EACCES"
    assert await listed(session) == {"f": 1}


async def test_a_disk_that_is_full_refuses_a_file_and_leaves_nothing_of_it(small: Executor) -> None:
    async with small.session() as session:
        written = [session.write_file(f"f{number}", b"x" * 300_000) for number in range(20)]
        told = await asyncio.gather(*written, return_exceptions=True)
        assert {each.fault if isinstance(each, FileError) else each for each in told} == {True, "ENOSPC"}
        entries = (await session.list_files()).entries
        assert {entry.size for entry in entries} == {300_000}
        await session.delete_file(entries[0].path)
        await session.write_file("again", b"1")


# ---- hostile cells

DEEP = """
import os
for _ in range(600):
    os.mkdir('d'); os.chdir('d')
os.chdir('/work' if os.path.isdir('/work') else '/')
"""
MANY = "for n in range(1500): open('n' * 200 + str(n), 'w').close()"
SPARSE = "open('sparse', 'w').truncate(30 << 20);"
SWAPPED = """
import os, threading
os.mkdir('real'); open('real/f', 'w').write('x')
def swap():
    while True:
        try: os.rename('real', 'aside'); os.symlink('/etc', 'real'); os.unlink('real'); os.rename('aside', 'real')
        except OSError: pass
threading.Thread(target=swap, daemon=True).start()
"""
GROWING = """
import threading
def grow():
    with open('f', 'w', buffering=1) as file:
        while True: file.write('x' * 100); file.truncate(50)
open('f', 'w').close()
threading.Thread(target=grow, daemon=True).start()
"""
KILLER = """
import os, signal, threading
def kill():
    while True:
        for pid in range(2, 400):
            try:
                if pid != os.getpid(): os.kill(pid, signal.SIGKILL)
            except OSError: pass
threading.Thread(target=kill, daemon=True).start()
"""
STOPPER = KILLER.replace("SIGKILL", "SIGSTOP")
FULL_OF_PROCESSES = """
import os, time
for _ in range(200):
    try:
        if os.fork() == 0: time.sleep(600)
    except OSError: break
"""
FLOOD = """
import threading
def flood():
    while True: print('x' * 1000)
threading.Thread(target=flood, daemon=True).start()
"""


@pytest.mark.parametrize(
    "code", [DEEP, MANY, SPARSE, SWAPPED, GROWING, KILLER, STOPPER, FULL_OF_PROCESSES, FLOOD],
    ids=["deep", "many", "sparse", "swapped", "growing", "killer", "stopper", "processes", "flood"],
)  # fmt: skip
async def test_whatever_a_session_does_to_its_files_orders_are_answered(executor: Executor, code: str) -> None:
    """Each is answered, with what was asked for or with a fault that says why not, and nobody else is hurt."""
    faults = set()
    async with asyncio.timeout(WITHIN), executor.session() as session:
        await session.run(code)
        for action, path in (
            (FileAction.LIST, ""), (FileAction.PUT, "new"), (FileAction.GET, "new"), (FileAction.GET, "real/f"),
            (FileAction.GET, "f"), (FileAction.GET, "sparse"), (FileAction.DELETE, "new"), (FileAction.LIST, ""),
        ):  # fmt: skip
            try:
                await session.order(FileOrder(action, path, b"data"))
            except FileError as error:
                faults.add(error.fault)
                if error.fault == "SLOW":  # and so would be the others
                    break
            except SessionUnknownError:
                break
    assert faults <= {"ENOENT", "ENOTDIR", "ELOOP", "TOO_LARGE", "CHANGED", "SLOW", "DISTURBED", "NO_FILE", "ENOSPC"}
    result = await executor.run("import os; print(os.listdir(), os.listdir('/tmp'))")
    assert result.output == "['main.py'] []\n"


async def test_a_clerk_can_read_nothing_that_a_cell_cannot(session: Session) -> None:
    await run(session, "import os\nos.symlink('/proc/1/environ', 'p'); os.symlink('/', 'root')")
    assert await fault(session, FileAction.GET, "p") == "NO_FILE"
    assert await fault(session, FileAction.GET, "root/etc/passwd") in ("ENOTDIR", "ELOOP")
    for path in ("../etc/passwd", "/etc/passwd", "a/../../etc/passwd", "", "."):
        assert await fault(session, FileAction.GET, path) == "EINVAL"


# ---- what a cell makes comes back with it


async def made(session: Session, code: str) -> tuple[dict[str, bytes], int]:
    result = await session.run(code)
    assert result.reason is Reason.COMPLETED, result.error
    return {file.path: file.data for file in result.files}, result.files_omitted


async def test_a_cell_returns_what_it_made_or_changed_and_nothing_twice(session: Session) -> None:
    assert await made(session, "1") == ({}, 0)
    assert await made(session, "import os\nos.mkdir('d'); open('d/a', 'w').write('1'); open('b', 'w').write('2');") == (
        {"b": b"2", "d/a": b"1"}, 0,
    )  # fmt: skip
    assert await made(session, "open('b').read();") == ({}, 0)
    assert await made(session, "open('b', 'w').write('2');") == ({}, 0)  # as it was
    assert await made(session, "open('b', 'w').write('3');") == ({"b": b"3"}, 0)
    assert await made(session, "os.rename('b', 'c')") == ({"c": b"3"}, 0)
    assert await made(session, "os.remove('c'); os.remove('d/a')") == ({}, 0)
    assert await made(session, "open('c', 'w').write('3');") == ({"c": b"3"}, 0)


async def test_a_change_is_seen_whatever_its_size_and_times_say(session: Session) -> None:
    code = "import os, mmap\nopen('f', 'wb').write(b'a' * 4096); f = open('f', 'r+b'); m = mmap.mmap(f.fileno(), 0)"
    assert (await made(session, code))[0] == {"f": b"a" * 4096}
    assert (await made(session, "m[0] = 98"))[0] == {"f": b"b" + b"a" * 4095}
    code = "s = os.stat('f'); f.seek(1); f.write(b'c'); f.flush(); os.utime('f', ns=(s.st_atime_ns, s.st_mtime_ns))"
    assert (await made(session, code))[0] == {"f": b"bc" + b"a" * 4094}


async def test_what_was_given_or_put_comes_back_only_if_a_cell_changes_it(executor: Executor) -> None:
    async with executor.session(files=(File("given", b"1"), File("other", b"2"))) as session:
        await session.write_file("put", b"3")
        assert await made(session, "1") == ({}, 0)
        assert (await made(session, "for n in 'given', 'put': open(n, 'a').write('!')"))[0] == {
            "given": b"1!", "put": b"3!",
        }  # fmt: skip
        await session.write_file("given", b"4")
        assert await made(session, "open('other', 'w').write('2');") == ({}, 0)
        await session.delete_file("put")
        assert await made(session, "open('put', 'w').write('3!');") == ({"put": b"3!"}, 0)


async def test_files_given_are_there_for_the_first_order(executor: Executor) -> None:
    async with executor.session(files=(File("a/b", b"1" * 100_000),)) as session:
        assert await session.read_file("a/b") == b"1" * 100_000


async def test_what_a_cell_makes_too_much_of_is_counted_once(executor: Executor, session: Session) -> None:
    odd = "import os\nos.symlink('x', 'l'); open(b'\\xff', 'w').close(); os.mkdir('locked', 0)"
    assert await made(session, odd) == ({}, 3)
    assert await made(session, "1") == ({}, 0)
    files, omitted = await made(session, "for n in range(40): open(f'f{n:02}', 'w').write('x')")
    assert (len(files), omitted) == (32, 8)
    large = executor.limits.attachments
    files, omitted = await made(session, f"open('large', 'wb').write(bytes({large})); open('small', 'w').write('s');")
    assert (files, omitted) == ({"small": b"s"}, 1)
    assert await made(session, "1") == ({}, 0)
    assert (await made(session, "f = open('large', 'r+b'); f.seek(9); f.write(b'x'); f.close()"))[1] == 1


async def test_files_come_with_a_failed_cell_and_with_one_that_ends_its_session(executor: Executor) -> None:
    async with executor.session() as session:
        result = await session.run("open('a', 'w').write('1')\n1 / 0")
        assert (result.reason, result.files) == (Reason.EXCEPTION, (File("a", b"1"),))
        result = await session.run("import time\nopen('b', 'w').write('2')\ntime.sleep(60)", timeout=0.5)
        assert (result.reason, result.files) == (Reason.WALL_TIME, (File("b", b"2"),))
    async with executor.session() as session:
        result = await session.run("f = open('c', 'w'); f.write('3'); f.close()\nimport os\nos._exit(3)")
        assert (result.reason, result.files) == (Reason.EXIT, (File("c", b"3"),))


async def test_what_a_thread_leaves_between_cells_comes_with_the_next(session: Session) -> None:
    code = "import threading\ngo = threading.Event()\ndef f():\n    go.wait()\n    open('late', 'w').write('1')\n"
    await session.run(f"{code}t = threading.Thread(target=f); t.start()")
    assert (await made(session, "go.set(); t.join()"))[0] == {"late": b"1"}


async def test_files_are_events_of_their_cell(session: Session) -> None:
    events = [event async for event in session.stream(Cell("open('a', 'w').write('1');"))]
    assert File("a", b"1") in events


async def test_the_policy_is_asked_about_a_python_file_that_is_put(small: Executor) -> None:
    async with small.session() as session:
        with pytest.raises(FileError, match=r"helper\.py, line 2, column 8: .*os") as caught:
            await session.write_file("helper.py", b"x = 1\nimport os\n")
        assert caught.value.fault == "REFUSED"
        assert (await session.list_files()).entries == ()
        assert await session.write_file("helper.py", b"import os\n", policy=False)
        assert await session.write_file("data.txt", b"import os\n")
        assert await session.write_file("other.py", b"x = 1\n")
        assert (await session.run("import other; other.x")).output == "1\n"
