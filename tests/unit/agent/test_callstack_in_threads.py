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
def has_frames():
    return threading.main_thread().ident in sys._current_frames()
seen = []
thread = threading.Thread(target=lambda: seen.append(callstack.invoke(has_frames)))
thread.start(); thread.join()
print(*seen)
"""


def test_a_call_in_another_thread_leaves_the_first_threads_frames_alone() -> None:
    source = str(Path(sandbox_agent.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, env={"PYTHONPATH": source}, check=False
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
