"""How the pages are served: policies, caching, and what is said where there is no build."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from code_executor.api import pages
from tests.browser.conftest import need_build
from tests.conftest import Server

WEB = Path(__file__).parents[2] / "web"


@pytest.fixture
def http(site: Server) -> Iterator[httpx.Client]:
    need_build()
    with httpx.Client(base_url=site.url) as client:
        yield client


def test_pages_have_a_strict_policy_and_are_asked_for_again(http: httpx.Client) -> None:
    for path, ancestors in (("/", "'self'"), ("/embed", "*")):
        answer = http.get(path)
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == ancestors
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
        again = http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_what_a_page_loads_is_its_own_and_is_kept_for_good(http: httpx.Client) -> None:
    addresses = re.findall(r'(?:src|href)="([^"#]+)"', http.get("/").text)
    assert all(not address.startswith(("http", "/")) for address in addresses)
    assets = [address for address in addresses if address.startswith("assets/")]
    assert len(assets) >= 4
    for address in assets:
        answer = http.get(f"/{address}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_other_sites_may_load_the_component_by_a_name_that_stays(http: httpx.Client) -> None:
    answer = http.get("/assets/run-code.js", headers={"Origin": "https://course.example"})
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.content == http.get("/assets/run-code.js", headers={"Accept-Encoding": "identity"}).content


def test_the_licences_of_what_is_bundled_are_served(http: httpx.Client) -> None:
    text = http.get("/assets/licenses.txt").text
    assert "@codemirror/view" in text
    assert all(name in text for name in ("dompurify", "marked", "uplot"))
    assert text.count("Permission is hereby granted") > 5


@pytest.mark.parametrize(
    "path", ["/assets/none.js", "/assets/../index.html", "/assets/%2e%2e/%2e%2e/app.py", "/assets/", "/labs"]
)
def test_nothing_else_is_served(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 404


def asking(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.mark.anyio
@pytest.mark.parametrize("left", [(), ("index.html", "index.html.gz")], ids=["nothing", "one of before an update"])
async def test_without_a_build_the_page_says_what_is_missing(tmp_path: Path, left: tuple[str, ...]) -> None:
    for name in left:
        (tmp_path / name).touch()
    app = FastAPI()
    pages.install(app, directory=str(tmp_path))
    async with asking(app) as http:
        answer = await http.get("/")
        assert answer.status_code == 200
        assert "npm" in answer.text
        assert "make web" in answer.text
        assert '<a href="docs">' in answer.text
        assert (await http.get("/embed")).status_code == 404


@pytest.mark.anyio
async def test_frames_can_be_allowed_to_some_sites_only() -> None:
    need_build()
    app = FastAPI()
    pages.install(app, embedders=["https://moodle.example", "https://notion.example"])
    async with asking(app) as http:
        policy = (await http.get("/embed")).headers["content-security-policy"]
        assert policy.endswith("frame-ancestors https://moodle.example https://notion.example")


def test_the_component_documents_what_it_has() -> None:
    source = (WEB / "src/run-code.ts").read_text(encoding="utf-8")
    styles = (WEB / "src/styles.css").read_text(encoding="utf-8")
    read = set(re.findall(r'(?:get|has)Attribute\("([a-z]+)"\)', source))
    observed = set(re.findall(r'"([a-z]+)"', re.findall(r"observedAttributes = \[(.*)\]", source)[0]))
    emitted = set(re.findall(r'#emit\("([a-z-]+)"', source))
    properties = set(re.findall(r"var\((--run-code-[a-z-]+)", styles))
    modules = json.loads((WEB / "custom-elements.json").read_text(encoding="utf-8"))["modules"]
    element = modules[0]["declarations"][0]
    assert {each["name"] for each in element["attributes"]} == read | observed | {"theme"}
    assert {each["name"] for each in element["events"]} == emitted | {"run-output"}
    assert {each["name"] for each in element["cssProperties"]} == properties
    readme = (WEB / "README.md").read_text(encoding="utf-8")
    for each in element["attributes"] + element["events"]:
        assert f"| `{each['name']}` |" in readme
