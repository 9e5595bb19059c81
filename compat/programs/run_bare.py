"""Runs programs with the bare interpreter, each as ``python main.py`` in a directory with nothing else in it.

In: a line of JSON for each program on stdin. Out: a line of JSON for each on stdout. It runs in a container of the
image, or beside it. After a program it removes what that program left in the directories of ``wipe``.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import threading


def write(directory: str, files: dict[str, str]) -> None:
    for path, content in files.items():
        target = os.path.join(directory, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(base64.b64decode(content))


def run(directory: str, timeout: float) -> dict[str, str]:
    program = subprocess.Popen(
        [sys.executable, "main.py"],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert program.stdin is not None
    program.stdin.close()
    written = {"stdout": b"", "stderr": b""}

    def drain(name: str) -> None:
        while data := os.read(getattr(program, name).fileno(), 1 << 16):
            written[name] += data

    readers = [threading.Thread(target=drain, args=(name,), daemon=True) for name in written]
    for reader in readers:
        reader.start()
    try:
        status = program.wait(timeout)
        ended = signal.Signals(-status).name if status < 0 else str(status)
    except subprocess.TimeoutExpired:
        ended = "wall_time"
    end_all(program)
    for reader in readers:
        reader.join(5)
    return {"exit": ended} | {name: data.decode(errors="replace") for name, data in written.items()}


def end_all(program: subprocess.Popen[bytes]) -> None:
    """End the program and what it left behind, which would keep its pipes open."""
    try:
        os.killpg(program.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    program.wait()
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:  # orphans, where this is the first process
            pass
    except ChildProcessError:
        pass


def wipe(directory: str) -> None:
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            for parent, _, _ in os.walk(entry):
                os.chmod(parent, 0o700)
            shutil.rmtree(entry, ignore_errors=True)
        else:
            os.unlink(entry)


for line in sys.stdin:
    job = json.loads(line)
    write(job["directory"], job["files"])
    print(json.dumps(run(job["directory"], job["timeout"])), flush=True)
    for used in job["wipe"]:
        wipe(used)
