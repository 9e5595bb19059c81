"""The OpenAPI description holds where schemathesis does not look: events, and a client's messages over a WebSocket."""

from __future__ import annotations

import contextlib
import json
from typing import Any, get_args

import httpx
import jsonschema_rs
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from code_executor.api.description import EVENTS, MESSAGES
from code_executor.api.interactive import _read
from code_executor.core.models import Cancel, Interrupt, Stdin
from tests.api.conftest import raw_events
from tests.conftest import Serve

SHOWS_EVERYTHING = """
import sys
import matplotlib.pyplot as plt
print("out")
print("err", file=sys.stderr)
plt.plot([1, 2])
plt.savefig("picture.png")
plt.show()
class Table:
    def _repr_html_(self): return "<table></table>"
Table()
"""


def strict(description: dict[str, Any], name: str) -> jsonschema_rs.Validator:
    """What is valid has every field that the schema asks for, and no field that it does not know."""
    return jsonschema_rs.validator_for(
        {
            "$ref": f"#/components/schemas/{name}",
            "components": description["components"],
            "unevaluatedProperties": False,
        }
    )


@pytest.mark.timeout(180)
def test_every_event_is_as_described(serve: Serve) -> None:
    seen: list[dict[str, Any]] = []
    with serve("native", rate_limit="2/minute", preload="", pool_size=1) as server:
        description = httpx.get(f"{server.url}/openapi.json").json()
        request = {"code": SHOWS_EVERYTHING, "display": True}
        headers = {"Accept": "text/event-stream"}
        with httpx.stream("POST", f"{server.url}/api/execute", json=request, headers=headers, timeout=60) as answer:
            seen += [{**data, "type": name} for name, data in raw_events(answer.iter_lines())]
        for _ in range(2):  # the second is refused: the rate limit is used up
            with connect(f"{server.url.replace('http', 'ws', 1)}/api/execute/ws") as socket:
                with contextlib.suppress(ConnectionClosed):  # of the refused one, nothing is read
                    socket.send(json.dumps({"code": "input()"}))
                for text in socket:
                    seen.append(json.loads(text))
                    if seen[-1]["type"] == "waiting":
                        socket.send(json.dumps({"type": "eof"}))
    described = strict(description, "Event")
    for event in seen:
        described.validate(event)
    assert {event["type"] for event in seen} == set(EVENTS)
    assert {event["mediaType"] for event in seen if event["type"] == "display"} == {"image/png", "text/html"}
    assert [event["rateLimit"]["remaining"] for event in seen if event.get("rateLimit")] == [0]
    assert [event["retryAfter"] for event in seen if event["type"] == "problem"] != []
    with pytest.raises(jsonschema_rs.ValidationError):
        described.validate({"type": "stdout", "data": "x", "more": 1})


def test_every_message_of_a_client_is_as_described() -> None:
    messages = [
        dict.fromkeys(model.model_fields, "x") | {"type": kind}
        for model in MESSAGES
        for kind in get_args(model.model_fields["type"].annotation)
    ]
    taken = [_read({"type": "websocket.receive", "text": json.dumps(message)}) for message in messages]
    assert taken == [Stdin("x"), Stdin(None), Interrupt(), Cancel()]
