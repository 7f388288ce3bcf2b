"""The closing table of a job: what was found, what it took, and where it lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_ENERGIES = (
    ("Hartree-Fock energy", "rhf_energy"),
    ("variational energy", "variational_energy"),
    ("total energy (with PT2)", "total_energy"),
)


def closing_table(results: Path, url: str) -> str:
    """The table for the job whose results lie in `results`; energies in hartree.

    What result.json does not have is shown as missing, never invented. Lines are as long as they must be:
    a path or an address that is folded or cut can be neither copied nor clicked.
    """
    answer = _read(results / "result.json")
    rows = [(title, _number(answer.get(key), "{:.10f} Ha")) for title, key in _ENERGIES]
    rows += [
        ("determinants", _number(answer.get("determinants"), "{:,}")),
        ("attempts", _attempts(answer.get("attempts"))),
        ("wall time", _wall(answer.get("wall_seconds"))),
        ("cost", _number(_usd(answer.get("cost")), "{:.4f} USD")),
        ("results", str(results)),
        ("run", url),
    ]
    width = max(len(title) for title, _ in rows)
    return "\n".join(f"{title:<{width}}  {value}" for title, value in rows)


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return {}  # collected on another controller
    return data if isinstance(data, dict) else {}


def _number(value: object, form: str) -> str:
    return form.format(value) if isinstance(value, (int, float)) else "-"


def _attempts(value: object) -> str:
    if not isinstance(value, list):
        return "-"
    on = [str(one["machine"]) for one in value if isinstance(one, dict) and isinstance(one.get("machine"), str)]
    return f"{len(value)} ({', '.join(on)})" if on else str(len(value))


def _usd(value: object) -> object:
    return value.get("usd") if isinstance(value, dict) else value


def _wall(value: object) -> str:
    """Seconds per task, and their sum."""
    if not isinstance(value, dict):
        return _number(value, "{:.1f} s")
    parts = {str(key): float(seconds) for key, seconds in value.items() if isinstance(seconds, (int, float))}
    each = ", ".join(f"{key} {seconds:.1f}" for key, seconds in parts.items())
    return f"{sum(parts.values()):.1f} s ({each})" if parts else "-"
