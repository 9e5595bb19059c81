"""What the native engine says where bubblewrap does not do what it should. What it does is the contract's affair."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from code_executor.core.errors import CodeExecutorError
from code_executor.core.limits import Limits
from code_executor.sandbox import hardening
from code_executor.sandbox.native import NativeEngine

pytestmark = pytest.mark.anyio

NOBODY = 1 << 22
"""No process has this number: it is the first beyond the largest that Linux gives."""


async def failure(tmp_path: Path, script: str) -> str:
    """Return what is said of a bubblewrap that does this."""
    bwrap = tmp_path / "bwrap"
    bwrap.write_text(f"#!{sys.executable}\nimport os, sys\n{script}\nsys.exit(1)\n")
    bwrap.chmod(0o755)
    engine = NativeEngine(Limits(), policies=hardening.NO_POLICY)
    await engine.start()
    engine._home = None
    engine._bwrap = str(bwrap)
    with pytest.raises(CodeExecutorError) as caught:
        await engine.create()
    return str(caught.value)


async def test_a_bubblewrap_that_dies_before_it_makes_a_process_is_quoted(tmp_path: Path) -> None:
    said = await failure(tmp_path, "print('bwrap: No permissions to create new namespace', file=sys.stderr)")
    assert said == "bubblewrap could not make a sandbox here: bwrap: No permissions to create new namespace"


async def test_a_bubblewrap_whose_process_is_gone_at_once_is_quoted(tmp_path: Path) -> None:
    script = f"""
info = int(sys.argv[sys.argv.index("--info-fd") + 1])
os.write(info, b'{{"child-pid": {NOBODY}}}')
print("bwrap: execvp python: No such file", file=sys.stderr)
"""
    said = await failure(tmp_path, script)
    assert said == "bubblewrap ended before the sandbox had begun: bwrap: execvp python: No such file"


async def test_where_there_is_no_bubblewrap_the_path_is_named(tmp_path: Path) -> None:
    engine = NativeEngine(Limits(), policies=hardening.NO_POLICY)
    await engine.start()
    engine._bwrap = str(tmp_path / "nothing")
    with pytest.raises(CodeExecutorError, match=r"^cannot start a sandbox: .*/nothing"):
        await engine.create()
