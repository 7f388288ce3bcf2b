"""Sanitizing of a machine's artifacts, so that the UI shows them as text only.

The UI renders Markdown with links, pictures and HTML from any source. A compromised machine must not be able to make
the browser of a user who looks at a run load anything.
"""

from __future__ import annotations

import json
import math
from typing import Any

from spotwave.node.contract import Lease
from spotwave.node.untrusted.plain_text import LINE_CHARS, TEXT_CHARS, markdown, plain, plain_all
from spotwave.node.untrusted.strict_json import BadJson, load

TYPES = ("progress", "markdown", "table")  # no images and links, whose addresses would be loaded or followed


class BadArtifact(ValueError):
    """The artifact is not allowed for a machine. The message is one line without parts of the artifact."""


def lease_artifact(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a lease's renewal, rebuilt from its metadata. Raises BadArtifact if they are not a lease."""
    try:
        lease = Lease.from_metadata(fields.get("metadata_"))
    except ValueError as error:
        raise BadArtifact(f"the metadata are not a lease: {error}") from None
    except TypeError:
        raise BadArtifact("the metadata are not a lease") from None
    if lease is None:
        raise BadArtifact("a renewal of the lease must have its metadata")
    return {"data": lease.for_people, "metadata_": lease.to_metadata()}


def node_artifact(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the sanitized fields of a node run's artifact, or of an update to one.

    Raises BadArtifact if the type is not one of TYPES or a field is not valid.
    """
    if fields.get("type") not in (None, *TYPES):
        raise BadArtifact(f"the type of a node run's artifact must be one of {', '.join(TYPES)}")
    names = ("key", "type", "flow_run_id", "task_run_id")
    kept: dict[str, Any] = {name: fields[name] for name in names if name in fields}
    if "key" in kept:
        kept["key"] = plain(str(kept["key"]))
    if "description" in fields:
        description = fields["description"]
        if not isinstance(description, str | None):
            raise BadArtifact("an artifact's description must be text")
        kept["description"] = None if description is None else markdown(description, TEXT_CHARS)
    if "data" in fields:
        kept["data"] = _data(fields["data"])
    if "metadata_" in fields:
        kept["metadata_"] = plain_all(fields["metadata_"], LINE_CHARS)
    return kept


def _data(data: Any) -> Any:
    """Return a number unchanged (a progress bar), a table as sanitized rows, everything else as text."""
    if isinstance(data, (int, float)) and not isinstance(data, bool):
        if not math.isfinite(data) or not 0 <= data <= 100:
            raise BadArtifact("the value of a progress artifact must be from 0 to 100")
        return data
    if isinstance(data, list):
        return _rows(data)
    if not isinstance(data, str):
        raise BadArtifact("an artifact's data must be a number, rows or text")
    if data.startswith("["):  # Prefect's client sends a table like this
        try:
            return json.dumps(_rows(load(data)))
        except BadJson:
            pass
    # Line by line, so that line breaks are kept.
    return "\n\n".join(markdown(line) for line in plain(data, TEXT_CHARS, lines=True).splitlines() if line.strip())


def _rows(rows: Any) -> Any:
    return [_rows(row) for row in rows] if isinstance(rows, list) else _cells(rows)


def _cells(row: Any) -> Any:
    """Return sanitized cells; the UI renders a cell's text as Markdown."""
    if isinstance(row, dict):
        return {plain(str(name)): _cells(cell) for name, cell in row.items()}
    return markdown(row) if isinstance(row, str) else row
