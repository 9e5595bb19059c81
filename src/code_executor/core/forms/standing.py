"""How things stand: sessions and their files, rate limits, and whether programs can be run."""

from __future__ import annotations

import base64

from code_executor.core.forms.shown import Object, media_type_of, to_base64
from code_executor.core.models import Allowance, FileAnswer, FileEntry, SessionInfo, SessionState


def listing_object(answer: FileAnswer) -> Object:
    """Return the object of a list of files, as an answer shows it: without a ``type``."""
    return {
        "files": [
            {"path": entry.path, "size": entry.size, "mediaType": media_type_of(entry.path)} for entry in answer.entries
        ],
        "filesOmitted": answer.omitted,
    }


def answer_object(answer: FileAnswer) -> Object:
    return {
        **listing_object(answer),
        "contentBase64": to_base64(answer.data),
        "made": answer.made,
        "fault": answer.fault,
        "why": answer.why,
    }


def answer_of(message: Object) -> FileAnswer:
    return FileAnswer(
        tuple(FileEntry(entry["path"], entry["size"]) for entry in message["files"]),
        message["filesOmitted"],
        base64.b64decode(message["contentBase64"]),
        message["made"],
        message["fault"],
        message["why"],
    )


def session_object(info: SessionInfo) -> Object:
    """Return the object of a session, as an answer shows it: without a ``type``."""
    return {
        "id": info.id,
        "state": info.state.value,
        "cells": info.cells,
        "idleTimeout": info.idle,
        "expiresIn": round(info.left, 3),
        "age": round(info.age, 3),
        **({"environment": info.environment} if info.environment else {}),
        **({"policy": info.policy} if info.policy else {}),
    }


def session_of(message: Object) -> SessionInfo:
    idle, left, age = (message[name] for name in ("idleTimeout", "expiresIn", "age"))
    state = SessionState(message["state"])
    environment, policy = (message.get(name, "") for name in ("environment", "policy"))
    return SessionInfo(message["id"], state, message["cells"], idle, left, age, environment, policy)


def allowance_object(allowance: Allowance) -> Object:
    return {
        "allowed": allowance.allowed,
        "limit": allowance.limit,
        "remaining": allowance.remaining,
        "reset": allowance.reset,
        "window": allowance.window,
        **({"name": allowance.name} if allowance.name else {}),
    }


def allowance_of(message: Object) -> Allowance:
    return Allowance(*(message.get(name, "") for name in ("allowed", "limit", "remaining", "reset", "window", "name")))
