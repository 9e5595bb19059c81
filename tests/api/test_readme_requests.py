"""The four requests that the README shows under "Try it", and their answers."""

import json
from pathlib import Path

import httpx

README = Path(__file__).parents[2] / "README.md"
PRINT = 'print("Hello from API!")'
ERROR = 'raise ValueError("Test error")'
SLEEP = "import time\ntime.sleep(35)"
LIBRARY = 'import json\ndata = {"test": 123}\nprint(json.dumps(data))'


def test_the_readme_shows_these_requests() -> None:
    section = README.read_text().partition("\n## Try it\n")[2].partition("\n## ")[0]
    assert [code for code in (PRINT, ERROR, SLEEP, LIBRARY) if f'"code": {json.dumps(code)}' not in section] == []


def execute(client: httpx.Client, **request: object) -> dict[str, object]:
    response = client.post("/api/execute", json={"language": "python", **request})
    assert response.status_code == 200
    answer: dict[str, object] = response.json()
    return answer


def test_basic_execution(client: httpx.Client) -> None:
    answer = execute(client, code=PRINT)
    assert (answer["status"], answer["output"]) == ("success", "Hello from API!\n")
    assert isinstance(answer["executionTime"], float)


def test_error_handling(client: httpx.Client) -> None:
    answer = execute(client, code=ERROR)
    assert (answer["status"], answer["output"]) == ("error", "")
    error = str(answer["error"])
    assert error.startswith("Traceback")
    assert error.endswith("\nValueError: Test error")


def test_timeout(client: httpx.Client) -> None:
    answer = execute(client, code=SLEEP, timeout=1)
    assert (answer["status"], answer["error"]) == ("timeout", "Execution exceeded 1 second timeout")
    assert 1000 <= float(str(answer["executionTime"])) < 3000


def test_with_libraries(client: httpx.Client) -> None:
    answer = execute(client, code=LIBRARY)
    assert (answer["status"], answer["output"]) == ("success", '{"test": 123}\n')
