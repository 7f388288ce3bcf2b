"""What of a machine's artifacts the UI shows: as text, whatever they hold.

The UI draws Markdown with links, pictures and HTML of anybody's; nobody who looks at a run should load what the machine
that computes it, or whoever has taken it, wants loaded.
"""

from __future__ import annotations

import json
import math
from typing import Any

from spotwave.node.contract import Lease
from spotwave.node.untrusted.plain_text import LINE_CHARS, TEXT_CHARS, markdown, plain, plain_all
from spotwave.node.untrusted.strict_json import BadJson, load

TYPES = ("progress", "markdown", "table")  # an image's or a link's address would be fetched or followed


class Unfit(ValueError):
    """No artifact that a machine may make; one line that quotes nothing of it."""


def lease_artifact(told: dict[str, Any]) -> dict[str, Any]:
    """A renewal of the lease: only what its metadata say, in our own words. Raises Unfit for no lease."""
    try:
        lease = Lease.from_metadata(told.get("metadata_"))
    except ValueError as error:
        raise Unfit(f"the metadata are not a lease: {error}") from None
    except TypeError:
        raise Unfit("the metadata are not a lease") from None
    if lease is None:
        raise Unfit("a renewal of the lease has its metadata")
    return {"data": lease.for_people, "metadata_": lease.to_metadata()}


def node_artifact(told: dict[str, Any]) -> dict[str, Any]:
    """A node run's artifact, or what is changed of one. Raises Unfit for a kind that is not TYPES."""
    if told.get("type") not in (None, *TYPES):
        raise Unfit(f"an artifact of a node run is one of {', '.join(TYPES)}")
    kept: dict[str, Any] = {name: told[name] for name in ("key", "type", "flow_run_id", "task_run_id") if name in told}
    if "key" in kept:
        kept["key"] = plain(str(kept["key"]))
    if "description" in told:
        description = told["description"]
        if not isinstance(description, str | None):
            raise Unfit("an artifact's description is a text")
        kept["description"] = None if description is None else markdown(description, TEXT_CHARS)
    if "data" in told:
        kept["data"] = _data(told["data"])
    if "metadata_" in told:
        kept["metadata_"] = plain_all(told["metadata_"], LINE_CHARS)
    return kept


def _data(data: Any) -> Any:
    """A number as it is (a bar), a table's rows, everything else as text."""
    if isinstance(data, (int, float)) and not isinstance(data, bool):
        if not math.isfinite(data) or not 0 <= data <= 100:
            raise Unfit("a bar stands from 0 to 100")
        return data
    if isinstance(data, list):
        return _rows(data)
    if not isinstance(data, str):
        raise Unfit("an artifact's data are a number, rows or a text")
    if data.startswith("["):  # how Prefect's client sends a table
        try:
            return json.dumps(_rows(load(data)))
        except BadJson:
            pass
    # Line by line, so that a text of several lines stays one.
    return "\n\n".join(markdown(line) for line in plain(data, TEXT_CHARS, lines=True).splitlines() if line.strip())


def _rows(rows: Any) -> Any:
    return [_rows(row) for row in rows] if isinstance(rows, list) else _cells(rows)


def _cells(row: Any) -> Any:
    """The UI draws a cell's text as Markdown, too."""
    if isinstance(row, dict):
        return {plain(str(name)): _cells(cell) for name, cell in row.items()}
    return markdown(row) if isinstance(row, str) else row
