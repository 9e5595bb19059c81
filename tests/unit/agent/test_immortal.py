"""What is made immortal, and what is not, in an interpreter of its own: it cannot be undone."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import gc, sys
from sandbox_agent.supervisor.immortal import immortalize

class Node:
    pass

kept, kept.text, kept.dropped = Node(), "a text of its own " * 3, []
before = sys.getrefcount(kept)
many = immortalize()
immortal = sys.getrefcount(None)
if sys.version_info < (3, 12):
    assert many == 0 and sys.getrefcount(kept) == before, many
else:
    assert many > 1000, many
    assert sys.getrefcount(kept) == sys.getrefcount(kept.text) == immortal
    held = [kept] * 9
    assert sys.getrefcount(kept) == immortal
    assert not [one for one in gc.get_objects() if type(one) is dict and len(one) > many / 2]  # its own book-keeping
new = Node()
assert sys.getrefcount(new) == 2
kept.dropped = new  # of what is immortal, the fields can come and go
del new
kept.dropped = None
assert not [one for one in gc.get_objects() if type(one) is Node and one is not kept]
print("well")
"""


@pytest.mark.parametrize("switches", [(), ("-X", "dev")])
def test_what_was_made_before_is_immortal_and_what_is_made_later_is_not(switches: tuple[str, ...]) -> None:
    run = subprocess.run([sys.executable, *switches, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("well\n", "")
