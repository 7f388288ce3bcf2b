"""Answers and errors in the formats of Google's JSON APIs."""

from __future__ import annotations

import json
from typing import Any

from tests.emulators.server import Response


def reply(said: Any) -> Response:
    return Response(json.dumps(said).encode())


def error(status: int, reason: str, message: str) -> Response:
    """Return an error in the format of most Google APIs."""
    said = {"code": status, "message": message, "errors": [{"message": message, "domain": "global", "reason": reason}]}
    return Response(json.dumps({"error": said}).encode(), status)


def newer_error(status: int, word: str, message: str) -> Response:
    """Return an error in the format of newer APIs, e.g. Secret Manager."""
    return Response(json.dumps({"error": {"code": status, "message": message, "status": word}}).encode(), status)


def resource(project: str, zone: str, kind: str, name: str) -> str:
    return f"projects/{project}/zones/{zone}/{kind}/{name}"
