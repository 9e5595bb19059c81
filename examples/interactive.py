"""Type to a program while it runs, over a WebSocket. BASE_URL: where the server is (default http://localhost:8000)."""

import json
import os

from websockets.sync.client import connect

PROGRAM = """
name = input("What is your name? ")
print("Hello,", name)
"""

base = os.environ.get("BASE_URL", "http://localhost:8000")
with connect(base.replace("http", "ws", 1) + "/api/execute/ws") as socket:
    socket.send(json.dumps({"code": PROGRAM}))
    for message in socket:
        match json.loads(message):
            case {"type": "stdout" | "stderr", "data": data}:
                print(data, end="", flush=True)
            case {"type": "waiting"}:
                socket.send(json.dumps({"type": "stdin", "data": input() + "\n"}))
            case {"type": "result", "reason": reason}:
                print(reason)
