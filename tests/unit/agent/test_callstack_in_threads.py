"""Calls from the bottom of the stack belong to the thread whose places are known: elsewhere they are plain calls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import sandbox_agent

CODE = """
import sys, threading
from sandbox_agent.child import callstack
assert callstack.find()
def below():
    try:
        return sys._getframe(1).f_code.co_name
    except ValueError:
        return None
seen = [callstack.invoke(below)]
def work():
    seen.append(callstack.invoke(below))
thread = threading.Thread(target=work); thread.start(); thread.join()
print(seen, sys._getframe().f_code.co_name)
"""


def test_a_call_in_another_thread_leaves_the_first_threads_frames_alone() -> None:
    source = str(Path(sandbox_agent.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env={"PYTHONPATH": source}, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[None, 'call'] <module>\n"), done.stderr
