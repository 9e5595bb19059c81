"""What goes in as stdin and arguments, and what comes out: large, odd, cut off, or not read at all."""

from __future__ import annotations

import hashlib

import pytest

from code_executor import Execution, Executor, Reason

MEGABYTE = 1 << 20


@pytest.mark.anyio
async def test_a_megabyte_of_stdin_arrives_whole(executor: Executor) -> None:
    stdin = "".join(f"{n} äöü\n" for n in range(60000))[:MEGABYTE]
    result = await executor.run(
        "import hashlib, sys\nprint(hashlib.md5(sys.stdin.buffer.read()).hexdigest())", stdin=stdin
    )
    assert (result.reason, result.output) == (Reason.COMPLETED, hashlib.md5(stdin.encode()).hexdigest() + "\n")


@pytest.mark.anyio
async def test_stdin_may_be_echoed_while_it_arrives(executor: Executor) -> None:
    stdin = "x" * 99 + "\n"
    result = await executor.run("import sys\nfor line in sys.stdin: sys.stdout.write(line)", stdin=stdin * 9000)
    assert (result.reason, result.output) == (Reason.COMPLETED, stdin * 9000)


@pytest.mark.anyio
@pytest.mark.parametrize("code", ["print('did not read')", "import sys\nsys.stdin.close()\nprint('did not read')"])
async def test_stdin_need_not_be_read(executor: Executor, code: str) -> None:
    result = await executor.run(code, stdin="x" * MEGABYTE)
    assert (result.reason, result.output) == (Reason.COMPLETED, "did not read\n")
    after = await executor.run("import sys\nprint(repr(sys.stdin.read()))", stdin="mine")
    assert after.output == "'mine'\n"


@pytest.mark.anyio
async def test_stdin_ends_once_and_stays_ended(executor: Executor) -> None:
    code = "import sys\nprint([sys.stdin.read(), sys.stdin.read()])\ntry: input()\nexcept EOFError: print('end')"
    result = await executor.run(code, stdin="all")
    assert result.output == "['all', '']\nend\n"


@pytest.mark.anyio
async def test_stdin_of_every_kind_of_byte_arrives_as_it_is(executor: Executor) -> None:
    stdin = "".join(map(chr, range(0x180))) + "\U0001f600\r\n\n\r"
    result = await executor.run("import sys\nprint(sys.stdin.buffer.read().hex())", stdin=stdin)
    assert result.output == stdin.encode().hex() + "\n"


@pytest.mark.anyio
async def test_what_is_no_text_in_stdin_becomes_a_question_mark(executor: Executor) -> None:
    result = await executor.run("print(ascii(input()))", stdin="a\ud800b\n")
    assert result.output == "'a?b'\n"


@pytest.mark.anyio
async def test_arguments_arrive_as_they_are(executor: Executor) -> None:
    args = ("", " ", "-x", "--", "ä€\U0001f600", "a\nb", "'\"\\$(id)", "x" * 4096, "\udcff")
    result = await executor.run("import sys\nprint(ascii(sys.argv))", args=args)
    assert result.output == ascii(["main.py", *args]) + "\n"


@pytest.mark.anyio
async def test_bytes_that_are_no_utf_8_are_replaced(executor: Executor) -> None:
    code = r"import sys; sys.stdout.buffer.write(b'a\xff\xc3\xa4\xe2\x82'); sys.stderr.buffer.write(b'\x80b')"
    result = await executor.run(code)
    assert (result.output, result.error) == ("a\ufffdä\ufffd", "\ufffdb")


@pytest.mark.anyio
async def test_a_character_written_byte_by_byte_is_one_character(executor: Executor) -> None:
    code = r"import os; [os.write(1, bytes([b])) for b in 'ä€😀'.encode()]"
    parts = [event async for event in executor.stream(Execution(code))]
    result = parts[-1]
    assert "".join(getattr(part, "data", "") for part in parts) == "ä€😀" == getattr(result, "output", None)


@pytest.mark.anyio
async def test_a_character_cut_by_the_output_limit_is_replaced(small: Executor) -> None:
    result = await small.run("print('x' + 'ä' * 9999)")
    assert result.reason is Reason.OUTPUT_LIMIT
    assert result.output == "x" + "ä" * (((10 << 10) - 1) // 2) + "\ufffd"


@pytest.mark.anyio
async def test_nothing_printed_before_a_kill_is_lost(executor: Executor) -> None:
    code = """
import os, sys
print("no newline", end="")
print("to stderr", end="", file=sys.stderr)
sys.stdout.write(" and more")
os.kill(os.getpid(), 9)
"""
    result = await executor.run(code)
    assert (result.reason, result.output) == (Reason.SIGNAL, "no newline and more")
    assert result.error.startswith("to stderr\n")


@pytest.mark.anyio
async def test_a_flood_of_a_megabyte_is_kept_whole(executor: Executor) -> None:
    result = await executor.run(f"import sys\nfor _ in range(16): sys.stdout.write('x' * {MEGABYTE // 16})")
    assert (result.reason, len(result.output), result.truncated) == (Reason.COMPLETED, MEGABYTE, False)


@pytest.mark.anyio
async def test_output_of_children_of_the_program_counts(executor: Executor) -> None:
    code = """
import os
print("parent", flush=True)
if os.fork() == 0:
    print("child", flush=True)
    os._exit(0)
os.wait()
"""
    assert (await executor.run(code)).output == "parent\nchild\n"


@pytest.mark.anyio
async def test_a_grandchild_that_holds_the_pipes_does_not_hold_the_result(executor: Executor) -> None:
    code = """
import os, time
print("done", flush=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(60)
    os._exit(0)
"""
    result = await executor.run(code, timeout=20)
    assert (result.reason, result.output) == (Reason.COMPLETED, "done\n")
