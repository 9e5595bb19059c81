"""What people write in notebooks and Python does not know: magics, shell commands, questions.

What only says how a notebook is to look is passed over. The rest is answered with what to write instead. A line is
looked at only where Python refuses the cell, and where a statement can begin: so nothing that Python takes is changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sandbox_agent.child.source import RefusedError
from sandbox_agent.contract.policy import SourceProblem

_TOKEN = re.compile(
    r"""
    [rRbBuUfFtT]{0,2} (?: \"{3} (?:\\.|[^\\])*? (?:\"{3}|\Z) | '{3} (?:\\.|[^\\])*? (?:'{3}|\Z) )
    | "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'?
    | \#[^\n]* | \\\r?\n | [\[({] | [\])}] | \r?\n | [^\n]
    """,
    re.VERBOSE | re.DOTALL,
)
_FOREIGN = re.compile(
    r"""
    [ \t]* (?:
        %% [ \t]* (?P<cell>\w*) .*
        | (?P<target>\w[\w.,[\]\t ]*=[ \t]*)? (?: % [ \t]* (?P<magic>[a-zA-Z]\w*) .* | (?P<shell>!) .* )
        | (?:python3?[ \t]+-m[ \t]+)? (?:pip3?|conda|mamba|uv) [ \t]+
          (?:install|uninstall|list|show|freeze|add|remove|update|upgrade|download|sync|create|pip)\b .*
        | \?{1,2} [ \t]* [\w.]+ [ \t]* | [\w.]+ [ \t]* \?{1,2} [ \t]*
    ) $
    """,
    re.VERBOSE,
)
_PACKAGES = re.compile(r"^[ \t]*[!%]{0,2}[ \t]*(?:python3?[ \t]+-m[ \t]+)?(?:pip3?|conda|mamba|uv)\b")

_LONGEST = 60
"""Characters of a line that a sentence quotes."""

_SHELLS = frozenset({"bash", "sh", "script", "system", "sx", "!"})
_PASSED_OVER = frozenset({"matplotlib", "config", "load_ext", "reload_ext", "autoreload", "precision", "autosave"})
_INSTEAD = {
    "time": "take time.perf_counter() before and after",
    "timeit": "use timeit.timeit()",
    "run": "import the module",
    "load": "import the module",
    "env": "use os.environ",
    "set_env": "use os.environ",
    "cd": "use os.chdir()",
    "ls": "use os.listdir()",
    "pwd": "use os.getcwd()",
    "cat": "use print(open(name).read())",
    "writefile": "use open(name, 'w').write(text)",
    "capture": "use contextlib.redirect_stdout()",
    "who": "use dir()",
    "whos": "use dir()",
    "debug": "use traceback.print_last()",
    "prun": "use cProfile.run()",
    "html": "show an object with _repr_html_()",
    "reset": "open a new session",
}


def plain(source: str) -> str | None:
    """Return a cell without what can be passed over, its lines where they were; None if there is nothing foreign.

    Raises ``RefusedError`` with a sentence for each line that can be neither run nor passed over.
    """
    problems: list[SourceProblem] = []
    text, done = "", 0
    for start, end, found in _foreign_lines(source):
        line = source[start:end]
        indent = len(line) - len(line.lstrip(" \t"))
        if found["magic"] not in _PASSED_OVER or found["target"]:
            number = source.count("\n", 0, start) + 1
            problems.append(SourceProblem(number, indent + 1, _sentence(line.strip(), found)))
            if found["cell"] is not None:  # the rest is not for Python
                break
        text += f"{source[done:start]}{line[:indent]}pass\n"
        done = end
    if problems:
        raise RefusedError("syntax", problems)
    return text + source[done:] if done else None


def _foreign_lines(source: str) -> Iterator[tuple[int, int, re.Match[str]]]:
    """Yield where each line that is not Python's begins and ends, and what it is."""
    at, depth, begins = 0, 0, True
    while at < len(source):
        if begins:
            end = source.find("\n", at) + 1 or len(source)
            found = _FOREIGN.match(source[at:end].rstrip("\r\n"))
            if found is not None:
                yield at, end, found
                at = end
                continue
        token = _TOKEN.match(source, at)
        assert token is not None  # any character is one
        word, at = token[0], token.end()
        depth += (word in "([{") - (word in ")]}")
        begins = depth <= 0 and word.endswith("\n") and not word.startswith(("\\", '"', "'"))


def _sentence(line: str, found: re.Match[str]) -> str:
    shown = line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
    if _PACKAGES.match(line):
        return (
            f"{shown!r} would install packages, and there is no network here. "
            "Import what you need: if it is not installed, ask who runs this service for it."
        )
    if found["shell"] or found["cell"] in _SHELLS:
        return f"{shown!r} is for a shell, and there is none here. Write it in Python: os, shutil and pathlib help."
    if found["magic"] is None and found["cell"] is None:
        return f"{shown!r} asks a notebook for help. In Python, write help({line.strip('? ')})."
    instead = _INSTEAD.get(found["magic"] or found["cell"], "write it in Python")
    return f"{shown!r} is a command of IPython (a magic) and not Python. Instead, {instead}."
