"""Write the tables of the docs that come from the code (`make docs`); a test fails while they differ.

A table stands between ``<!-- table: NAME -->`` and ``<!-- /table -->``, where NAME is one of `TABLES`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from code_executor.app.settings import PREFIX, Settings, parse_size
from code_executor.sandbox.doctor import REQUIRED
from code_labs.generation.settings import PREFIX as MODEL
from code_labs.generation.settings import ModelSettings
from sandbox_agent.contract.policy.rules import STRICT

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)

_COMPUTED = {"pool_size": "2 per processor", "pool_min": "1 per processor"}
"""What stands for a default that depends on the machine."""

_SECTIONS = {
    "engine": "Sandboxes",
    "host": "HTTP",
    "rate_limit": "Access",
    "pool_size": "The pool",
    "memory": "Limits of a program",
    "max_code": "Limits of a request",
    "send_timeout": "Slow clients",
    "allow_missing": "Protection and logs",
    "jobs": "Jobs",
    "data": "What the server keeps",
    "webhook_allow": "Webhooks",
}
"""The first setting of each section of `docs/settings.md`, and its heading, in the order of the page."""

_SHORT = ("engine", "port", "rate_limit", "policy", "pool_size", "reuse", "memory", "cpus", "max_timeout", "preload")


def size(value: int) -> str:
    """``512m`` for 512 << 20."""
    for unit, factor in (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)):
        if value and value % factor == 0:
            return f"{value // factor}{unit}"
    return str(value)


def _listed(values: Iterable[str | float]) -> str:
    return ",".join(each if isinstance(each, str) else f"{each:g}" for each in values)


def default(name: str, field: FieldInfo) -> str:
    """Return a setting's default as one would type it."""
    if name in _COMPUTED:
        return _COMPUTED[name]
    value: Any = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if any(getattr(mark, "func", None) is parse_size for mark in field.metadata):
        value = size(value)
    elif isinstance(value, tuple):
        value = ";".join(",".join(kind) for kind in value) if name == "preload" else _listed(value)
    elif isinstance(value, float):
        value = f"{value:g}"
    return f"`{value}`" if value != "" else "empty"


def _setting(name: str) -> tuple[str, str, str]:
    return _row(PREFIX, name, Settings.model_fields[name])


def _row(prefix: str, name: str, field: FieldInfo) -> tuple[str, str, str]:
    description = field.description or ""
    if get_origin(field.annotation) is Literal:
        description += f" One of {', '.join(f'`{choice}`' for choice in get_args(field.annotation))}."
    return f"`{prefix}{name.upper()}`", default(name, field), description


def _table(headings: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


_SETTING_HEADINGS = ("variable", "default", "meaning")


def settings() -> str:
    """Every setting, in sections."""
    sections: dict[str, list[str]] = {}
    for name in Settings.model_fields:
        if name in _SECTIONS:
            current = sections.setdefault(_SECTIONS[name], [])
        current.append(name)
    return "\n".join(
        f"## {heading}\n\n{_table(_SETTING_HEADINGS, map(_setting, sections[heading]))}"
        for heading in _SECTIONS.values()
    )


def settings_short() -> str:
    """The settings that most people want first."""
    return _table(_SETTING_HEADINGS, map(_setting, _SHORT))


def model_settings() -> str:
    """Every setting of the models that make labs."""
    return _table(_SETTING_HEADINGS, (_row(MODEL, *item) for item in ModelSettings.model_fields.items()))


def policy() -> str:
    """What the strict policy refuses, by the reason that a learner reads."""
    rows: dict[str, list[str]] = {}
    kinds: tuple[Mapping[str, str], ...] = (STRICT.modules, STRICT.names, STRICT.attributes)
    for column, refused in enumerate(kinds):
        for name, reason in refused.items():
            rows.setdefault(reason, ["", "", ""])[column] += f" `{name}`"
    return _table(
        ("reason", "modules", "names", "attributes"),
        [(reason, *(cell.strip() for cell in cells)) for reason, cells in rows.items()],
    )


def policy_attributes() -> str:
    """What the strict policy refuses of modules that may be imported."""
    return _table(
        ("module", "attributes"),
        [
            (f"`{module}`", " ".join(f"`{name}`" for name in names))
            for module, names in STRICT.module_attributes.items()
        ],
    )


def layers() -> str:
    """The layers without which an engine does not serve."""
    names = sorted(REQUIRED["docker"] | REQUIRED["native"])
    return _table(
        ("layer", *REQUIRED),
        [
            (f"`{name}`", *("required" if name in needed else "optional" for needed in REQUIRED.values()))
            for name in names
        ],
    )


def alerts() -> str:
    """The alerts for Prometheus."""
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"][0]["rules"]
    rows = []
    for rule in rules:
        when = f"`{' '.join(rule['expr'].split())}`" + (f" for {rule['for']}" if "for" in rule else "")
        rows.append((f"`{rule['alert']}`", rule["annotations"]["summary"], when, rule["annotations"]["action"]))
    return _table(("alert", "what it is", "when", "what to do"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "alerts": alerts,
    "model-settings": model_settings,
    "settings": settings,
    "settings-short": settings_short,
    "policy": policy,
    "policy-attributes": policy_attributes,
    "layers": layers,
}


def written(text: str) -> str:
    """Return a document with its tables as they should be."""
    return _BLOCK.sub(lambda block: f"{block[1]}\n{TABLES[block[2]]()}\n{block[3]}", text)


def documents() -> list[Path]:
    """Return every document that is ours to write in."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> None:
    for path in documents():
        before = path.read_text()
        if (after := written(before)) != before:
            path.write_text(after)
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
