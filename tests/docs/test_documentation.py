"""The documentation is true: what can be run is run, and what it names exists.

Blocks marked ``bash`` and ``python`` are run, ``json`` and ``toml`` are read. The block after a ``bash`` block is what
it must print: a ``json`` one but for what differs from run to run, a ``text`` one after a program exactly.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI

from code_executor.api import pages
from code_executor.api.schemas import PROBLEMS, ExecuteRequest, ExecuteResponse, LimitsIn
from code_executor.app.environments import _Table
from code_executor.app.environments import read as read_environments
from code_executor.app.settings import PREFIX, Settings
from code_executor.core.limits import Limits, SessionLimits
from code_executor.core.models import Reason
from code_executor.jobs.metrics import JobMetrics
from code_executor.sandbox.book import PoolSize
from code_executor.sandbox.doctor import REQUIRED
from code_executor.sandbox.pool import Pool
from code_executor.service.fairqueue import FairQueue, Rules
from code_executor.service.metrics import Metrics
from code_executor.service.sessions import SessionBook
from sandbox_agent.contract.policy.rules import Policy
from sandbox_agent.oneshot import REQUEST_VARIABLE
from tests.conftest import Serve

ROOT = Path(__file__).resolve().parents[2]
WEB = ROOT / "web/README.md"
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
PAGES = [*DOCUMENTS, ROOT / "bench/README.md", ROOT / "examples/nextjs/README.md", WEB]
"""What is read but not run: these have programs that need more than the checkout."""
POLICY, ENVIRONMENTS = ROOT / "docs/policy.md", ROOT / "docs/environments.md"
README, HTTP_API, OPERATIONS = ROOT / "README.md", ROOT / "docs/http-api.md", ROOT / "docs/operations.md"
PORT = "http://localhost:8000"

VARIES = frozenset({"id", "executionTime", "queueTime", "cpuTime", "memory", "execution_time"})
"""Fields whose value is another one in every run."""


@dataclass(frozen=True)
class Block:
    document: Path
    line: int
    language: str
    text: str
    after: Block | None = None
    """The block that follows at once: what this one prints."""

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """Every fenced block of these languages, in every document."""
    found: list[Block] = []
    for document in DOCUMENTS:
        text = document.read_text()
        after: Block | None = None
        start = len(text)
        for match in reversed(list(re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))):
            follows = after if after and len(text[match.end() : start].strip()) == 0 else None
            after = Block(document, text.count("\n", 0, match.start()) + 1, match[1], match[2], follows)
            start = match.start()
            found.append(after)
    return sorted((b for b in found if b.language in languages), key=lambda b: (b.document, b.line))


def table(document: Path, heading: str, columns: int) -> list[tuple[str, ...]]:
    """The rows of the first table below a heading: what stands in backticks in the first ``columns`` cells, joined."""
    section = document.read_text().partition(f"{heading}\n")[2]
    lines = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert lines, f"no table below {heading!r}"
    rows = (re.split(r"(?<!\\)\|", line)[1:-1] for line in lines[0].splitlines()[2:])
    return [tuple(" ".join(re.findall(r"`([^`]*)`", cell)) for cell in row[:columns]) for row in rows]


def names(document: Path, heading: str) -> list[str]:
    """All the names in the first column of the table below a heading."""
    return " ".join(cell for (cell,) in table(document, heading, 1)).split()


@cache
def writer() -> ModuleType:
    """``scripts/write_docs.py`` as a module."""
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "scripts/write_docs.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- what is run


@pytest.fixture(scope="module")
def url(serve: Serve) -> Iterator[str]:
    with serve("native", rate_limit="off", pool_size=2, preload="") as server:
        yield server.url


@pytest.fixture(scope="module")
def keeping(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that keeps suites and jobs, and takes any program."""
    settings = {"rate_limit": "off", "pool_size": 2, "policy": "off", "data": tmp_path_factory.mktemp("kept")}
    with serve("native", **settings) as server:
        yield server.url


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """An empty directory from which a checkout's parts are found as the docs name them."""
    for name in (".venv", ".sandbox", "examples", "scripts", "deploy.sh"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def output_of(command: list[str], directory: Path, typed: str = "", **more: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment |= {f"{PREFIX}ENGINE": "native", f"{PREFIX}PRELOAD": "", "PYTHONWARNINGS": "error"} | more
    done = subprocess.run(
        command, cwd=directory, env=environment, input=typed, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def agree(documented: dict[str, object], real: dict[str, object]) -> None:
    for name, value in documented.items():
        if name in VARIES:
            assert type(real[name]) is type(value)
        elif name == "results":
            for each, really in zip(value, real[name], strict=True):  # type: ignore[call-overload]
                agree(each, really)
        else:
            assert real[name] == value, name


@pytest.mark.parametrize("block", blocks("bash"), ids=str)
def test_commands_print_what_the_docs_say(block: Block, checkout: Path, request: pytest.FixtureRequest) -> None:
    command = block.text
    if PORT in command:
        command = command.replace(PORT, request.getfixturevalue("url"))
    if "docker run" in command:
        request.getfixturevalue("docker")
    printed = output_of(["bash", "-euo", "pipefail", "-c", command], checkout)
    assert printed
    if block.after and block.after.language == "json":
        agree(json.loads(block.after.text), json.loads(printed))
    elif block.after and block.after.language == "text" and PORT not in block.text:
        assert printed == block.after.text
    elif block.after and block.after.language == "text":
        documented, real = (re.findall(r"^event: (\w+)$", text, re.MULTILINE) for text in (block.after.text, printed))
        assert list(dict.fromkeys(real)) == list(dict.fromkeys(documented))


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_in_the_docs_runs(block: Block, checkout: Path) -> None:
    assert output_of([sys.executable, "-c", block.text], checkout)


EXAMPLES = {
    "library.py": "timeout - Execution exceeded 0.5 second timeout",
    "blocking.py": "12: correct",
    "rewards.py": "pass@1 0.467 of 5 items",
    "stream.py": "step 2\nsuccess completed",
    "interactive.py": "What is your name? Hello, Ada\ncompleted",
    "curl.sh": "event: result",
}
"""Each example that is a program, and something that it prints."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name: str, checkout: Path, request: pytest.FixtureRequest) -> None:
    run = [sys.executable] if name.endswith(".py") else ["bash"]
    text = (ROOT / "examples" / name).read_text()
    base = request.getfixturevalue("keeping" if "/api/suites" in text else "url") if "BASE_URL" in text else ""
    assert EXAMPLES[name] in output_of([*run, f"examples/{name}"], checkout, "Ada\n", BASE_URL=base)


def test_every_example_is_run() -> None:
    programs = {path.name for path in (ROOT / "examples").iterdir() if path.suffix in (".py", ".sh")}
    assert programs == set(EXAMPLES)


# ---- what is read


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_in_the_docs_is_json(block: Block) -> None:
    json.loads(block.text)


def tables(document: Path) -> list[dict[str, Any]]:
    return [tomllib.loads(block.text) for block in blocks("toml") if block.document == document]


def test_every_table_in_the_docs_is_read_by_a_test() -> None:
    assert {block.document for block in blocks("toml")} == {POLICY, ENVIRONMENTS}


def test_the_example_policy_is_the_one_in_the_docs() -> None:
    (policy,) = tables(POLICY)
    assert not Policy.from_table(policy).empty
    assert tomllib.loads((ROOT / "examples/policy.toml").read_text()) == policy


def test_environments_in_the_docs_load_and_the_example_is_one_of_them() -> None:
    documented = tables(ENVIRONMENTS)
    assert tomllib.loads((ROOT / "examples/environments/environments.toml").read_text()) in documented
    for each in documented:
        assert len(read_environments(each, Settings.load())) == 2


def test_every_key_of_an_environment_is_documented() -> None:
    assert names(ENVIRONMENTS, "## The file") == list(_Table.model_fields)


# ---- what is named


def page(document: Path) -> str:
    """What a document is called among tests."""
    return str(document.relative_to(ROOT))


def slug(heading: str) -> str:
    """What a heading is called in a link, by GitHub's rules."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("document", PAGES, ids=page)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(\s*([^)\s]+)\s*\)", document.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / path).resolve() if path else document
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), target


@pytest.mark.parametrize("document", PAGES, ids=page)
def test_files_that_the_docs_name_exist(document: Path) -> None:
    homes = [ROOT, document.parent, *(path for path in (ROOT / "src").rglob("*") if path.is_dir())]
    for name in re.findall(r"`(?:\./)?([\w./-]+)`", document.read_text()):
        is_path = name.startswith(("src/", "scripts/", "docs/", "tests/", "examples/", "bench/", ".venv/"))
        if is_path or (name.endswith((".py", ".sh", ".toml", ".lock", ".md", ".txt")) and name != "main.py"):
            assert any((home / name).exists() for home in homes), name


def test_the_readme_of_the_page_names_its_files() -> None:
    sources = {f"{path.parent.name}/{path.name}" for name in ("src", "pages") for path in (WEB.parent / name).iterdir()}
    scripts = {path.name for path in WEB.parent.glob("*.mjs")}
    assert set(names(WEB, "### Files")) == sources | scripts | {"tests/", "custom-elements.json"}


def test_the_example_of_a_proxy_passes_on_every_page_and_nothing_for_operators(tmp_path: Path) -> None:
    for name in (*pages._PAGES, "assets/x.js"):
        for file in (tmp_path / name, tmp_path / f"{name}.gz"):
            file.parent.mkdir(exist_ok=True)
            file.touch()
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    pages.install(app, directory=str(tmp_path), labs=True)
    served = [getattr(route, "path", "") for route in app.routes]
    assert {"/", "/notebook", "/assets/{name}"} <= set(served)
    (location,) = re.findall(r"location ~ (\S+) \{", OPERATIONS.read_text())
    for path in (*served, "/api/execute", "/api/execute/ws", "/api/sessions/{id}/cells"):
        assert re.match(location, path), path
    for path in ("/metrics", "/docs", "/docs-assets/x.js", "/openapi.json", "/notebook/x", "/embedded"):
        assert not re.match(location, path), path


@pytest.mark.parametrize("document", PAGES, ids=page)
def test_make_targets_that_the_docs_name_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = re.findall(r"(?:^|`)make ((?:[a-z]+\b(?!=) ?)+)", document.read_text(), re.MULTILINE)
    assert set(" ".join(used).split()) <= targets


def test_settings_that_the_docs_name_exist() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {REQUEST_VARIABLE}
    files = [
        *DOCUMENTS,
        ROOT / "bench/README.md",
        *(path for path in (ROOT / "examples").iterdir() if path.is_file()),
        ROOT / "deploy.sh",
        ROOT / "test-local.sh",
        ROOT / "Makefile",
    ]
    named = {name for file in files for name in re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", file.read_text())}
    assert named - known == set()


@pytest.mark.parametrize("document", [README, *(ROOT / "docs").glob("*.md")], ids=lambda path: path.name)
def test_tables_from_the_code_are_up_to_date(document: Path) -> None:
    text = document.read_text()
    assert writer().written(text) == text, "run `make docs`"


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    assert [name for name in Settings.model_fields if f"| `{PREFIX}{name.upper()}` |" not in text] == []


def test_limits_in_the_readme_have_their_defaults() -> None:
    rows = [row for row in table(README, "## Limits", 3) if row[2]]
    assert len(rows) > 8
    for _, shown, variable in rows:
        name = variable.split()[0].removeprefix(PREFIX).lower()
        assert f"`{shown}`" == writer().default(name, Settings.model_fields[name]), name


def test_reasons_in_the_docs_are_those_of_the_code() -> None:
    assert table(HTTP_API, "### Reasons", 2) == [(reason.status.value, reason.value) for reason in sorted_reasons()]


def sorted_reasons() -> list[Reason]:
    """In the order of the docs: success, error, timeout."""
    return sorted(Reason, key=lambda reason: ["success", "error", "timeout"].index(reason.status))


def test_fields_in_the_docs_are_those_of_the_code() -> None:
    request = [field.alias or name for name, field in ExecuteRequest.model_fields.items()]
    assert [row[0] for row in table(HTTP_API, "## POST /api/execute", 1)] == request
    fields = {field.alias or name: field.is_required() for name, field in ExecuteResponse.model_fields.items()}
    assert set(names(HTTP_API, "### The answer")) == fields.keys()
    limits = {field.alias or name for name, field in LimitsIn.model_fields.items()}
    assert {row[0] for row in table(HTTP_API, "### Limits of a run", 1)} == limits
    answer = {name for name, is_required in fields.items() if is_required}
    first = next(block for block in blocks("json") if block.document == README)
    assert set(json.loads(first.text)) == answer


def test_problems_in_the_docs_are_those_of_the_code() -> None:
    section = HTTP_API.read_text().partition("## Problems\n")[2].partition("## ")[0]
    documented = {int(status) for status in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    assert documented == set(PROBLEMS) | {401, 403, 404, 405, 409, 421, 507}


def test_metrics_in_the_docs_are_those_of_the_code() -> None:
    metrics = Metrics()
    metrics.tell("1", "native", Limits(), 1)
    metrics.watch(Pool(None, PoolSize()))  # type: ignore[arg-type]  # it is only asked how many sandboxes it has
    metrics.watch_queue(FairQueue(Rules(), 1))
    metrics.watch_sessions(SessionBook(SessionLimits()))
    JobMetrics(metrics)
    real = {
        family.name + "_total" * (family.type == "counter")
        for family in metrics.registry.collect()
        if not family.name.endswith("_created")
    }
    documented = {name.partition("{")[0] for name in names(OPERATIONS, "## Metrics")}
    assert {name for name in documented if name.startswith(("code_executor_", "process_"))} == real


def test_log_events_in_the_docs_are_those_of_the_code() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src/code_executor").rglob("*.py"))
    real = set(re.findall(r'log\.(?:debug|info|warning|error)\(\s*"(\w+)"', source))
    assert set(names(OPERATIONS, "## Logs")) == real


def test_layers_in_the_readme_are_those_of_doctor() -> None:
    shown = re.findall(r"^  held +(\w+)", README.read_text(), re.MULTILINE)
    assert set(shown) == REQUIRED["docker"]


def test_hooks_before_a_commit_are_installed_by_make() -> None:
    entries = re.findall(r"entry: (\S+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert len(entries) == 4
    assert all(os.access(ROOT / entry, os.X_OK) for entry in entries)


def test_the_readme_says_the_default_limits_of_a_program() -> None:
    limits = Limits()
    assert (limits.cpus, limits.memory, limits.wall_time) == (0.5, 512 << 20, 30), "its first paragraph names these"


def test_the_versions_of_python_are_the_same_wherever_they_are_named() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    classified = [found[1] for each in project["classifiers"] if (found := re.search(r":: (3\.\d+)$", each))]
    matrix = re.search(r"python: \[(.*)\]", (ROOT / ".github/workflows/ci.yml").read_text())
    assert matrix is not None
    assert re.findall(r"3\.\d+", matrix[1]) == classified
    assert project["requires-python"] == f">={classified[0]}"
    for document in (ROOT / "README.md", ROOT / "scripts/setup"):
        assert f"Python {classified[0]} or newer" in document.read_text(), document
    assert f"Python {classified[0]} to {classified[-1]}" in (ROOT / "CONTRIBUTING.md").read_text()


def test_the_hosted_workflow_runs_what_ci_runs() -> None:
    assert "bash .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text()
