"""The closing table of a job: its results, its cost and time, and where the files are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypeGuard

from spotwave.node.contract import RESULT_BYTES
from spotwave.node.untrusted.plain_text import plain
from spotwave.node.untrusted.strict_json import BadJson, load_file


def closing_table(results: Path, url: str, story: str) -> str:
    """Return the table for a job of the given story with its results in the folder `results`.

    Values missing from result.json are shown as "-". Lines are not wrapped or cut, so that paths and addresses can be
    copied and clicked.
    """
    answer = _read(results / "result.json")
    rows = _summary(story, answer)
    rows += [
        ("attempts", _attempts(answer.get("attempts"))),
        ("wall time", _wall(answer.get("wall_seconds"))),
        ("cost", _number(_usd(answer.get("cost")), "{:.4f} USD")),
        ("results", str(results)),
        ("run", url),
    ]
    width = max(len(title) for title, _ in rows)
    return "\n".join(f"{title:<{width}}  {value}" for title, value in rows)


def _summary(story: str, answer: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the story's own rows, with texts sanitized because a machine may have written them."""
    # Imported here: stories import the chemistry, which would slow down a command that only starts a job.
    from spotwave.flows.loop.stories import story_named
    from spotwave.flows.loop.story import InvalidResult

    made = story_named(story)
    if made is None or not answer:
        return [("result", "-")]
    try:
        return [(title, plain(value)) for title, value in made().summary(answer)]
    except InvalidResult as error:
        return [("result", str(error))]


def _read(path: Path) -> dict[str, Any]:
    try:
        return load_file(path, RESULT_BYTES)
    except (FileNotFoundError, BadJson):
        return {}  # collected on another controller, or there is no result


def _number(value: object, form: str) -> str:
    return form.format(value) if _is_number(value) else "-"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _attempts(value: object) -> str:
    if not isinstance(value, list):
        return "-"
    on = [plain(one["machine"], 100) for one in value if isinstance(one, dict) and isinstance(one.get("machine"), str)]
    return f"{len(value)} ({', '.join(on)})" if on else str(len(value))


def _usd(value: object) -> object:
    return value.get("usd") if isinstance(value, dict) else value


def _wall(value: object) -> str:
    """Return the seconds per task and their sum."""
    if not isinstance(value, dict):
        return _number(value, "{:.1f} s")
    parts = {plain(key, 100): float(seconds) for key, seconds in value.items() if _is_number(seconds)}
    each = ", ".join(f"{key} {seconds:.1f}" for key, seconds in parts.items())
    return f"{sum(parts.values()):.1f} s ({each})" if parts else "-"
