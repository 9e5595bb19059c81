"""``code-executor keys``: add, list, rotate and revoke keys. ``code-executor token``: make a token for a learner."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from code_executor.accounts import credentials, keyfile
from code_executor.accounts.keys import NAME, USUAL, Key, KeyLimits, parse_scopes
from code_executor.accounts.learners import GRANTED, LONGEST, checked_name, make_token, token_secret
from code_executor.accounts.secret import ServerSecret
from code_executor.app import hookcommands
from code_executor.app.kept import Kept
from code_executor.app.settings import Settings
from code_executor.core.errors import ConfigurationError

_LIMITS = {
    "rate": "runs of all together: 600/minute",
    "learner_rate": "runs of one learner: 10/minute, or off (default: the server's CODE_EXECUTOR_RATE_LIMIT)",
    "running": "sandboxes at once",
    "places": "executions that may wait for a sandbox",
    "seconds_per_day": "seconds of sandboxes on a day (UTC)",
    "wall_time": "longest run in seconds",
    "cpu_time": "longest processor time of a run in seconds",
    "memory": "most memory of a run: 128m",
    "output": "most that a run may write to stdout and stderr: 64k",
    "processes": "most processes and threads of a run, beside the first",
    "disk": "most that the files of a run may take: 16m",
    "weight": "how much it gets beside other keys while all want more (default: 1)",
    "origins": "a page that may use it: https://course.example.org; may be given several times",
    "environments": "an environment that it may use (default: all); may be given several times",
    "policies": "a name that requests may choose; may be given several times",
}
_NAMES = {"running": "concurrency", "origins": "origin", "environments": "environment", "policies": "policy"}
"""What an option is called, where that is not the name of the limit."""

_DURATION = re.compile(r"(\d+)(m|h|d)")
_UNITS = {"m": 60, "h": 3600, "d": 86400}


def add_parsers(commands: Any) -> None:
    """Add the command to those of the command line."""
    keys = commands.add_parser("keys", help="the keys of those who may ask")
    parts = keys.add_subparsers(dest="action", required=True)
    add = parts.add_parser("add", help="make a key, and show it this once; from then on, every request needs one")
    add.add_argument("--name", required=True, help="what it is called: a platform, a course")
    add.add_argument("--scope", action="append", metavar="SCOPE[,SCOPE]", help=f"default: {','.join(sorted(USUAL))}")
    add.add_argument("--expires", type=moment, help="2027-07-31, or 90d")
    for name, text in _LIMITS.items():
        many = {"action": "append"} if name in ("origins", "environments", "policies") else {}
        add.add_argument(f"--{_NAMES.get(name, name).replace('_', '-')}", dest=name, help=text, **many)
    add.add_argument("--toml", action="store_true", help="keep nothing; print a table for CODE_EXECUTOR_KEYS instead")
    listing = parts.add_parser("list", help="list the keys, without their secrets")
    listing.add_argument("--json", action="store_true")
    rotate = parts.add_parser("rotate", help="give a key a new secret; the one before stays valid for a while")
    rotate.add_argument("key", metavar="NAME|ID")
    rotate.add_argument("--grace", type=duration, default="1d", help="for how long: 0m, 12h, 7d (default: 1d)")
    hookcommands.add_parser(parts, duration)
    revoke = parts.add_parser("revoke", help="end a key, for ever")
    revoke.add_argument("key", metavar="NAME|ID")


def add_token_parser(commands: Any) -> None:
    """Add `token` to the commands."""
    token = commands.add_parser(
        "token", help="make a token for a learner, as a platform does with the secret of its key"
    )
    token.add_argument("key", metavar="NAME|ID", help="the key that it belongs to")
    token.add_argument("--learner", required=True, help="whatever the platform calls the learner")
    token.add_argument("--course")
    token.add_argument("--scope", help=f"default: {','.join(sorted(GRANTED))}, if the key has them")
    token.add_argument("--valid", type=duration, default="1h", help="for how long: 10m, or 1h at most (default: 1h)")


def run_token(options: dict[str, Any]) -> int:
    """`token`."""
    return asyncio.run(_token(options, Settings.load()))


async def _token(options: dict[str, Any], settings: Settings) -> int:
    if not 0 < options["valid"] <= LONGEST:
        raise ConfigurationError(f"a token is valid for {LONGEST // 60} minutes at most")
    claims: dict[str, Any] = {"sub": options["learner"], "exp": int(time.time()) + options["valid"]}
    checked_name(options["learner"].encode(), "--learner")
    if options["course"] is not None:
        claims["course"] = checked_name(options["course"].encode(), "--course").decode()
    if options["scope"] is not None:
        claims["scope"] = " ".join(sorted(parse_scopes(options["scope"].split(","))))
    async with Kept(settings) as kept:
        key = _find([*await kept.keys(), *await _in_file(settings)], options["key"])
    secret = ServerSecret.read(settings.secret_path())
    if key is None or not key.is_valid(time.time()):
        raise ConfigurationError(f"there is no valid key {options['key']} (`code-executor keys list`)")
    if secret is None or key.server not in ("", secret.fingerprint):
        raise ConfigurationError(
            f"the key {key.name} was made with another server secret than {settings.secret_path()}"
        )
    print(make_token(secret, key, claims))
    return 0


async def _in_file(settings: Settings) -> Sequence[Key]:
    return await keyfile.KeyFile(settings.keys).keys() if settings.keys else ()


def duration(text: str) -> int:
    """Read ``90d``, ``12h`` or ``5m`` as seconds."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"not a duration: {text!r} (as 30m, 12h or 7d)")
    return int(found[1]) * _UNITS[found[2]]


def moment(text: str) -> float:
    """Read a date, the first moment of it (UTC), or a duration from now, as seconds since 1970."""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        pass
    if not _DURATION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"not a date or duration: {text!r} (as 2027-07-31 or 90d)")
    return time.time() + duration(text)


def run(options: dict[str, Any]) -> int:
    """`keys`."""
    settings = Settings.load()
    if options["action"] == "add":
        return asyncio.run(_add(options, settings))
    return asyncio.run(_change(options, settings))


async def _add(options: dict[str, Any], settings: Settings) -> int:
    if not NAME.fullmatch(options["name"]):
        raise ConfigurationError("a name has up to 64 letters, digits, dots, dashes and underscores")
    given = options["scope"]
    scopes = USUAL if given is None else parse_scopes([each for text in given for each in text.split(",") if each])
    limits = KeyLimits.read({name: options[name] for name in _LIMITS if options[name] is not None})
    secret = ServerSecret.read(settings.secret_path()) or ServerSecret.make(settings.secret_path())
    key_id = credentials.new_id()
    credential = credentials.new_credential(key_id)
    key = Key(
        id=key_id,
        name=options["name"],
        hash=_digest(credential),
        server=secret.fingerprint,
        scopes=scopes,
        limits=limits,
        created=time.time(),
        expires=options["expires"],
    )
    if options["toml"]:
        print(keyfile.written(key), end="")
        _show(credential, token_secret(secret, key, 1), sys.stderr)
        return 0
    async with Kept(settings) as kept:
        await (await kept.make_store()).add(key)
    _show(credential, token_secret(secret, key, 1), sys.stdout)
    return 0


async def _change(options: dict[str, Any], settings: Settings) -> int:
    async with Kept(settings) as kept:
        store = await kept.store()
        keys = [] if store is None else await store.keys()
        if options["action"] == "list":
            _list([*keys, *await _in_file(settings)], as_json=options["json"])
            return 0
        if options["action"] == "webhook-secret":
            return await hookcommands.show(options, settings, [*keys, *await _in_file(settings)])
        key = _find(keys, options["key"])
        if store is None or key is None:
            raise ConfigurationError(f"there is no key {options['key']} in the database (`code-executor keys list`)")
        if options["action"] == "revoke":
            await store.replace(replace(key, revoked=time.time()))
            print(f"{key.name} ({key.id}) is revoked; running servers refuse it within seconds")
            return 0
        credential = credentials.new_credential(key.id)
        until = time.time() + options["grace"]
        rotated = replace(
            key, hash=_digest(credential), generation=key.generation + 1, previous=key.hash, previous_until=until
        )
        await store.replace(rotated)
    secret = ServerSecret.read(settings.secret_path())
    _show(credential, "" if secret is None else token_secret(secret, rotated, rotated.generation), sys.stdout)
    print(f"the secret before is valid until {_written(until)}")
    return 0


def _digest(credential: str) -> bytes:
    parsed = credentials.parse(credential)
    if parsed is None:
        raise RuntimeError("a key of ours that is none")
    return credentials.digest(parsed[1])


def _find(keys: Sequence[Key], name: str) -> Key | None:
    """Return the key with a name or an id, of those that are not revoked."""
    return next((key for key in keys if name in (key.id, key.name) and key.revoked is None), None)


def _show(credential: str, tokens: str, stream: Any) -> None:
    print(f"key: {credential}", file=stream)
    print(f"secret for learner tokens: {tokens}", file=stream)
    print("They are shown this once, and cannot be recovered.", file=stream)


def _written(moment: float | None) -> str:
    return "" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"


def _list(keys: Sequence[Key], *, as_json: bool) -> None:
    rows = [
        {
            "id": key.id,
            "name": key.name,
            "state": _state(key),
            "scopes": sorted(key.scopes),
            "limits": key.limits.model_dump(exclude_defaults=True),
            "created": _written(key.created or None),
            "expires": _written(key.expires),
            "generation": key.generation,
        }
        for key in keys
    ]
    if as_json:
        print(json.dumps(rows))
        return
    for row in rows:
        limits = " ".join(f"{name}={value}" for name, value in row["limits"].items())  # type: ignore[attr-defined]
        print(f"{row['id']}  {row['name']:<20}  {row['state']:<8}  {','.join(row['scopes'])}  {limits}".rstrip())  # type: ignore[arg-type]


def _state(key: Key) -> str:
    if key.revoked is not None:
        return "revoked"
    return "valid" if key.is_valid(time.time()) else "expired"
