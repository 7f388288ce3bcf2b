"""An S3 bucket whose keys have all permissions for objects below one folder, and none for the bucket itself.

A policy of least privilege creates such keys: `s3:ListBucket` on condition of a prefix, so that HeadBucket, which has
no prefix, is denied, and no `s3:CreateBucket` (Amazon S3 API Reference, HeadBucket and CreateBucket, "Permissions").
"""

from __future__ import annotations

from hashlib import md5
from xml.sax.saxutils import escape

from tests.emulators.server import Emulator, Request, Response

_XML = '<?xml version="1.0" encoding="UTF-8"?>'
_DATE = "2026-01-01T00:00:00.000Z"


class S3Emulator(Emulator):
    """One bucket with any name."""

    def __init__(self) -> None:
        super().__init__()
        self.may_write = True
        self.objects: dict[str, bytes] = {}

    def name_of(self, request: Request) -> str:
        return f"{request.method} {request.path}"

    def answer(self, request: Request) -> Response:
        bucket, _, key = request.path.lstrip("/").partition("/")
        if not key:
            return self._of_bucket(request, bucket)
        if request.method == "PUT":
            if not self.may_write:
                return _denied("s3:PutObject")
            self.objects[key] = request.body
            return Response(b"", headers={"ETag": _tag(request.body)})
        if key not in self.objects:
            return _error(404, "NoSuchKey", "The specified key does not exist.")
        if request.method == "DELETE":
            del self.objects[key]
            return Response(b"", 204)
        data = self.objects[key]
        told = {"ETag": _tag(data), "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        return Response(data, content_type="application/octet-stream", headers=told)

    def _of_bucket(self, request: Request, bucket: str) -> Response:
        if request.method == "PUT":
            return _denied("s3:CreateBucket")
        if request.method != "GET" or "prefix" not in request.query:
            return _denied("s3:ListBucket")
        prefix = request.query["prefix"]
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_DATE}</LastModified><ETag>{escape(_tag(data))}</ETag>"
            f"<Size>{len(data)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key, data in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        body = f"{_XML}<ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        return Response(body.encode(), content_type="application/xml")


def _tag(data: bytes) -> str:
    return f'"{md5(data, usedforsecurity=False).hexdigest()}"'


def _denied(action: str) -> Response:
    said = f"User: arn:aws:iam::123456789012:user/u is not authorized to perform: {action}"
    return _error(403, "AccessDenied", said)


def _error(status: int, code: str, message: str) -> Response:
    body = f"{_XML}<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(body.encode(), status, "application/xml")
