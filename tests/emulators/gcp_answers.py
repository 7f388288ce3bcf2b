"""How Google's JSON APIs answer and refuse."""

from __future__ import annotations

import json
from typing import Any

from tests.emulators.server import Response


def reply(said: Any) -> Response:
    return Response(json.dumps(said).encode())


def error(status: int, reason: str, message: str) -> Response:
    """As Google's JSON APIs refuse."""
    said = {"code": status, "message": message, "errors": [{"message": message, "domain": "global", "reason": reason}]}
    return Response(json.dumps({"error": said}).encode(), status)


def newer_error(status: int, word: str, message: str) -> Response:
    """As the younger ones of them do, e.g. Secret Manager."""
    return Response(json.dumps({"error": {"code": status, "message": message, "status": word}}).encode(), status)


def resource(project: str, zone: str, kind: str, name: str) -> str:
    return f"projects/{project}/zones/{zone}/{kind}/{name}"
