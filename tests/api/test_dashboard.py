"""The dashboard and the alerts ask for what a served process tells: each name, label and value is looked for there."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.api.conftest import execute
from tests.api.test_keys import made
from tests.conftest import Serve
from tests.promql import Series, faults, series_of

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/code-executor.json").read_text())
ALERTS: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text())["groups"][0]["rules"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = {
    **{f"{panel['title']}-{target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]},
    **{rule["alert"]: rule["expr"] for rule in ALERTS},
}


@pytest.fixture(scope="module")
def told(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Series:
    """What a server tells after a few runs of those with keys, a check, a session and an attack."""
    data = tmp_path_factory.mktemp("kept")
    key = made(data, "school", "--scope", "run,check,session,metrics")
    seldom = made(data, "seldom", "--rate", "1/hour")
    settings = {"rate_limit": "off", "pool_size": 3, "pool_min": 1, "preload": "", "policy": "off", "data": data}
    headers = {"Authorization": f"Bearer {key}"}
    with (
        serve("native", **settings) as server,
        httpx.Client(base_url=server.url, headers=headers, timeout=60) as client,
    ):
        for status in (200, 429):
            refused = client.post("/api/execute", json={"code": ""}, headers={"Authorization": f"Bearer {seldom}"})
            assert refused.status_code == status
        execute(client, "print(1)")
        assert execute(client, "import ctypes; ctypes.CDLL(None).ptrace(0)")["reason"] == "violation"
        assert client.post("/api/check", json={"code": "1"}).status_code == 200
        session = client.post("/api/sessions", json={}).json()["id"]
        assert client.delete(f"/api/sessions/{session}").status_code == 204
        return series_of(client.get("/metrics").text)


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_every_expression_asks_for_what_a_server_tells(expression: str, told: Series) -> None:
    assert faults(expression, told) == []


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("sum(rate(code_executor_execution_total[5m]))", "no metric code_executor_execution_total"),
        ('code_executor_sandboxes{state="lazy"}', "no code_executor_sandboxes with state 'lazy'"),
        ('code_executor_waiting{lane="batch"}', "code_executor_waiting has no label lane"),
        ('code_executor_waiting_in_lane{lane!~".*"}', "no code_executor_waiting_in_lane with lane '.*'"),
        ("1 - sum by (lane) (code_executor_waiting)", "nothing has the label lane in"),
        ("sum by (kind) (sum by (state) (code_executor_sandboxes))", "nothing has the label kind in"),
        ("histogram_quantile(0.9, sum(rate(code_executor_queue_seconds_bucket[5m])))", "histogram_quantile without le"),
        ("up / (code_executor_nothing > 1) or up", "no metric code_executor_nothing"),
    ],
)
def test_an_expression_that_would_find_nothing_is_found(wrong: str, why: str, told: Series) -> None:
    (found,) = faults(wrong, told)
    assert found.startswith(why)


def test_what_is_no_expression_is_an_error(told: Series) -> None:
    with pytest.raises(ValueError, match="unclosed"):
        faults("sum by (", told)


def test_the_variables_of_the_dashboard_are_labels_that_there_are(told: Series) -> None:
    queries = [each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    assert len(queries) == 3
    for query in queries:
        asked = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
        assert asked is not None
        assert faults(f"count by ({asked[2]}) ({asked[1]})", told) == []


def test_every_legend_names_labels_that_the_expression_leaves(told: Series) -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            names = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            assert faults(f"count by ({','.join(names)}) ({target['expr']})", told) == [], panel["title"]


def test_the_panels_have_numbers_and_places_of_their_own() -> None:
    assert Counter(panel["id"] for panel in DASHBOARD["panels"]).most_common(1)[0][1] == 1
    places = Counter(
        (x, y)
        for panel in DASHBOARD["panels"]
        for at in [panel["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    )
    assert places.most_common(1)[0][1] == 1
    assert max(x for x, _ in places) < 24
    assert all(panel["description"].endswith(".") for panel in PANELS)


def test_every_metric_that_the_docs_name_is_in_the_dashboard_or_for_a_closer_look() -> None:
    rows = (DEPLOY.parent / "docs/operations.md").read_text().partition("## Metrics\n")[2].partition("###")[0]
    documented = set(re.findall(r"^\| `(code_executor_\w+)", rows, re.MULTILINE))
    shown = set(re.findall(r"code_executor_\w+", " ".join(EXPRESSIONS.values())))
    shown = {name.removesuffix("_bucket") for name in shown}
    assert documented - shown == {"code_executor_running", "code_executor_cpus_limit"}
    assert shown <= documented


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    for rule in ALERTS:
        assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
