"""What graders send into sandboxes: texts of the standard library alone, which the host never imports to run them.

`harness` and `served` go to the learner's sandbox, and know nothing that is expected. `judge`, `proxy`, `remote` and
`suites` go to trusted sandboxes. Several make one text, so each imports what it has of another for type checkers alone.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

_FUTURE = "from __future__ import annotations\n"


@cache
def program(*names: str) -> str:
    """Return the text of these modules as one, to which a call of its ``main`` can be added."""
    texts = [(resources.files(__package__) / f"{name}.py").read_text(encoding="utf-8") for name in names]
    return _FUTURE + "".join(text.replace(_FUTURE, "") for text in texts)
