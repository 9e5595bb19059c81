"""Show a program's output while it runs, over HTTP. BASE_URL: where the server is (default http://localhost:8000)."""

import json
import os
import urllib.request

PROGRAM = """
import time
for n in range(3):
    print("step", n)
    time.sleep(0.2)
"""

request = urllib.request.Request(
    os.environ.get("BASE_URL", "http://localhost:8000") + "/api/execute",
    data=json.dumps({"code": PROGRAM}).encode(),
    headers={"Content-Type": "application/json", "Accept": "text/event-stream"},
)
with urllib.request.urlopen(request) as answer:
    event = ""
    for line in answer:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            event = value
        elif field == "data" and event == "stdout":
            print(json.loads(value)["data"], end="", flush=True)
        elif field == "data" and event == "result":
            result = json.loads(value)
            print(result["status"], result["reason"], f"{result['executionTime']:.0f} ms")
