"""Find known secrets in a text in any common encoding: quoted, base64, hex, or split over several lines.

The text is normalised: quoting (URL, JSON or XML) and white space are removed. The secrets' normalised forms are then
searched for, and each match is blanked in the original text. The time is linear in the length of the text.
"""

from __future__ import annotations

import base64
import html
import re
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from itertools import compress
from urllib.parse import quote, quote_plus

SHORTEST = 4  #: shorter values (on, off) would blank ordinary words
SHORTEST_SPLIT = 8  #: without white space, shorter values would match across ordinary words

_HIDDEN = b"***"
_ROUNDS = 3  # nested quoting, e.g. quoted again by a logger
_QUOTED = re.compile(
    rb"%[0-9A-Fa-f]{2}|\\{1,4}u[0-9A-Fa-f]{4}|\\{1,4}[nrt/]"
    rb"|&(?:amp|lt|gt|quot|apos|#[0-9]{1,6}|#[xX][0-9A-Fa-f]{1,5});"
)
_DROPPED = b" \t\n\r\v\f\"'+\\"
_STAYS = bytes(one not in _DROPPED for one in range(256))
_OF_BASE64 = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-")


class Search:
    """Searches for a set of secrets."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)
        self._as_they_are = [form for secret in known for form in _for_a_url(secret)]
        self._plain: dict[bytes, bool] = {}  # normalised form -> whether it is base64, perhaps within a longer run
        for secret in map(_bytes, known):
            plain = _Plain(secret).text
            if len(plain) >= SHORTEST_SPLIT:
                self._plain |= dict.fromkeys((plain, secret.hex().encode(), secret.hex().upper().encode()), False)
                self._plain |= dict.fromkeys(_in_base64(secret), True)

    def blanked(self, text: str) -> str:
        """Return the text with the secrets blanked."""
        found = _bytes(text)
        for secret in self._as_they_are:
            found = found.replace(secret, _HIDDEN)
        if self._plain:
            found = _without(found, sorted(self._spans(found)))
        return found.decode("utf-8", "replace")

    def _spans(self, text: bytes) -> list[tuple[int, int]]:
        """Return the spans of the secrets' normalised forms in the original text."""
        plain, spans = _Plain(text), []
        for form, is_base64 in self._plain.items():
            at = end = 0
            while (at := plain.text.find(form, at)) >= 0:
                start, end_before = plain.starts[at], end
                end = plain.ends[at + len(form) - 1]
                if is_base64:  # extend to the whole run: the rest is encoded with the secret, often a user name
                    while start > end_before and text[start - 1] in _OF_BASE64:
                        start -= 1
                    while end < len(text) and text[end] in _OF_BASE64:
                        end += 1
                spans.append((start, end))
                at = max(at + 1, bisect_left(plain.starts, end))
        return spans


class _Plain:
    """A text without quoting and white space, with the original position of each byte."""

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.starts: array[int] = array("Q", range(len(text)))
        self.ends: array[int] = array("Q", range(1, len(text) + 1))
        for _ in range(_ROUNDS):
            if not self._unquote():
                break
        stays = self.text.translate(_STAYS)
        self.starts = array("Q", compress(self.starts, stays))
        self.ends = array("Q", compress(self.ends, stays))
        self.text = self.text.translate(None, _DROPPED)

    def _unquote(self) -> bool:
        text, starts, ends, last = bytearray(), array("Q"), array("Q"), 0
        for found in _QUOTED.finditer(self.text):
            begin, end = found.span()
            meant = _meant(found[0])
            text += self.text[last:begin] + meant
            starts += self.starts[last:begin] + array("Q", [self.starts[begin]] * len(meant))
            ends += self.ends[last:begin] + array("Q", [self.ends[end - 1]] * len(meant))
            last = end
        if not last:
            return False
        text += self.text[last:]
        starts += self.starts[last:]
        ends += self.ends[last:]
        self.text, self.starts, self.ends = bytes(text), starts, ends
        return True


def _meant(written: bytes) -> bytes:
    if written[:1] == b"%":
        return bytes([int(written[1:], 16)])
    if written[:1] == b"&":
        return _bytes(html.unescape(written.decode()))
    quoted = written.lstrip(b"\\")
    if quoted == b"/":
        return quoted
    return _bytes(chr(int(quoted[1:], 16))) if quoted[:1] == b"u" else b""  # line breaks are dropped


def _for_a_url(secret: str) -> set[bytes]:
    forms = {secret}
    for quoted in (quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace")):
        forms |= {quoted, re.sub("%..", lambda found: found[0].lower(), quoted)}
    return {_bytes(form) for form in forms}


def _in_base64(secret: bytes) -> set[bytes]:
    """Return the base64 characters that depend on the secret alone, for each of its three alignments."""
    forms = set()
    for place in range(3):
        written = base64.b64encode(bytes(place) + secret)
        own = written[(0, 2, 3)[place] : (place + len(secret)) * 8 // 6]
        forms |= {own.translate(None, _DROPPED), own.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms


def _without(text: bytes, spans: list[tuple[int, int]]) -> bytes:
    kept, last = bytearray(), 0
    for start, end in spans:
        if start >= last:
            kept += text[last:start] + _HIDDEN
        last = max(last, end)
    return bytes(kept + text[last:])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
