"""Labs with a model over HTTP: a teacher sees each step, and a draft comes of it that no learner gets."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.api.conftest import raw_events
from tests.conftest import Serve
from tests.labs.stub import Stub, served
from tests.labs.test_generation import BUSY, KEY, SPOKEN, WEAK, good


def test_a_teacher_sees_each_step_to_a_draft(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Stub()) as stub:
        stub.key = KEY
        stub.play("m", BUSY, WEAK, good())
        for name, value in (("NAME", "m"), ("URL", stub.url), ("KEY", KEY)):
            monkeypatch.setenv(f"CODE_LABS_MODEL_{name}", value)
        with (
            serve("native", labs=True, data=tmp_path, pool_size=2, rate_limit="off") as server,
            httpx.Client(base_url=f"{server.url}/api/labs/v1", timeout=60) as http,
        ):
            http.put("/teach/courses/py", json={"title": "Py", "language": "en"})
            http.put("/teach/courses/py/videos/one", json={"title": "One", "transcript": SPOKEN})
            asked = {"from": "model", "video": "one", "start": 0, "end": 60}
            answer = http.post("/teach/courses/py/generate", json=asked)
            events = list(raw_events(iter(answer.text.splitlines())))
            assert {name for name, _ in events[:-2]} == {"step"}
            (kind, made), last = events[-2:]
            assert (kind, last) == ("lab", ("done", {"labs": 1}))
            kept = http.get(f"/teach/courses/py/labs/{made['lab']['id']}").json()
            assert (kept["status"], kept["verified"], kept["lab"]["title"]) == ("draft", True, "What shipping costs")
            assert http.get("/courses", headers={"X-Learner": "ada"}).json() == {"courses": []}
            assert len(stub.asked("m")) == 3
            monkeypatch.undo()
        assert KEY not in answer.text + str(server.log)
