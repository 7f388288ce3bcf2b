"""Answers in EC2's query protocol, serialized with the same model that boto3 parses them with."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import botocore.session

from tests.emulators.server import Request, Response

JSON = "application/x-amz-json-1.1"
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


class NotAllowed(Exception):
    """An error of the service."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@cache
def _model() -> Any:
    return botocore.session.Session().get_service_model("ec2")


def _wire(shape: Any, member: str) -> str:
    return str(shape.members[member].serialization.get("name", member))


def _value(shape: Any, value: Any) -> str:
    if shape.type_name == "structure":
        return "".join(
            f"<{_wire(shape, name)}>{_value(shape.members[name], part)}</{_wire(shape, name)}>"
            for name, part in value.items()
            if name in shape.members and part is not None
        )
    if shape.type_name == "list":
        return "".join(f"<item>{_value(shape.member, part)}</item>" for part in value)
    if shape.type_name == "boolean":
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return escape(str(value))


def fragment(action: str, member: str, row: dict[str, Any]) -> bytes:
    """Return one row of the list `member` in the action's answer; keys unknown to the API are dropped."""
    listed = _model().operation_model(action).output_shape.members[member]
    return f"<item>{_value(listed.member, row)}</item>".encode()


def xml(action: str, member: str, rows: list[bytes], token: str | None = None) -> bytes:
    """Return the action's answer. `token`: None if the action has no pages, '' on the last page."""
    shape = _model().operation_model(action).output_shape
    tag = _wire(shape, member).encode()
    parts = [
        b'<?xml version="1.0" encoding="UTF-8"?>',
        f'<{action}Response xmlns="{NAMESPACE}"><requestId>r</requestId>'.encode(),
        b"<%b>%b</%b>" % (tag, b"".join(rows), tag),
        f"<nextToken>{token}</nextToken>".encode() if token is not None else b"",
        f"</{action}Response>".encode(),
    ]
    return b"".join(parts)


def page(form: dict[str, str], rows: list[bytes], largest: int) -> tuple[list[bytes], str]:
    """Return (rows of the requested page, token of the next page or '')."""
    size = int(form.get("MaxResults", largest))
    if not 5 <= size <= largest:
        raise NotAllowed("InvalidParameterValue", f"Value ({size}) for parameter maxResults is invalid.")
    token = form.get("NextToken", "")
    head, _, place = token.partition(":")
    if token and (head != form["Action"] or not place.isdigit()):
        raise NotAllowed("InvalidNextToken", "The token is invalid.")
    start = int(place or 0)
    end = start + size
    return rows[start:end], f"{form['Action']}:{end}" if end < len(rows) else ""


def members(form: dict[str, str], name: str) -> list[str]:
    """Return the list Name.1, Name.2, ... of a form."""
    found = []
    while (value := form.get(f"{name}.{len(found) + 1}")) is not None:
        found.append(value)
    return found


def refusal(request: Request, code: str, message: str, status: int) -> Response:
    """Return an error in the format of the requested service."""
    if request.method == "GET":
        return Response(b"<Error><Code>SlowDown</Code></Error>", status, "application/xml")
    if "x-amz-target" in request.headers:
        if status == 503:  # JSON services throttle with a 400
            code, status = "ThrottlingException", 400
        return Response(f'{{"__type":"{code}","message":"{message}"}}'.encode(), status, JSON)
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>{code}</Code>'
        f"<Message>{escape(message)}</Message></Error></Errors><RequestID>r</RequestID></Response>"
    )
    return Response(body.encode(), status, "text/xml;charset=UTF-8")
