"""The brief's four requests, with the brief's answers."""

import httpx


def execute(client: httpx.Client, **request: object) -> dict[str, object]:
    response = client.post("/api/execute", json={"language": "python", **request})
    assert response.status_code == 200
    answer: dict[str, object] = response.json()
    return answer


def test_basic_execution(client: httpx.Client) -> None:
    answer = execute(client, code='print("Hello from API!")')
    assert (answer["status"], answer["output"]) == ("success", "Hello from API!\n")
    assert isinstance(answer["executionTime"], float)


def test_error_handling(client: httpx.Client) -> None:
    answer = execute(client, code='raise ValueError("Test error")')
    assert (answer["status"], answer["output"]) == ("error", "")
    error = str(answer["error"])
    assert error.startswith("Traceback")
    assert error.endswith("\nValueError: Test error")


def test_timeout(client: httpx.Client) -> None:
    answer = execute(client, code="import time\ntime.sleep(35)", timeout=1)
    assert (answer["status"], answer["error"]) == ("timeout", "Execution exceeded 1 second timeout")
    assert 1000 <= float(str(answer["executionTime"])) < 3000


def test_with_libraries(client: httpx.Client) -> None:
    answer = execute(client, code='import json\ndata = {"test": 123}\nprint(json.dumps(data))')
    assert (answer["status"], answer["output"]) == ("success", '{"test": 123}\n')
