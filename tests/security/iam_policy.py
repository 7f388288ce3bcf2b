"""Evaluation of AWS policies for a call: identity policies without Deny, like the documented ones.

Source: AWS IAM User Guide, "Policy evaluation logic", "IAM JSON policy elements: Resource" and "Condition operators".
An asterisk matches within one part of an ARN, between colons; in the last part it matches the rest.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from tests.security.guard import Right

Statement = dict[str, Any]


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def actions(policy: dict[str, Any]) -> set[str]:
    return {action for statement in policy["Statement"] for action in listed(statement["Action"])}


def allows(policy: dict[str, Any], right: Right) -> bool:
    assert all(statement["Effect"] == "Allow" for statement in policy["Statement"])
    return any(_gives(statement, right) for statement in policy["Statement"])


def _gives(statement: Statement, right: Right) -> bool:
    return (
        any(fnmatchcase(right.action.lower(), pattern.lower()) for pattern in listed(statement["Action"]))
        and any(_meets(right.resource, pattern) for pattern in listed(statement["Resource"]))
        and all(
            _holds(operator, key, listed(wanted), right.context.get(key))
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _meets(arn: str, pattern: str) -> bool:
    if pattern == "*":
        return True
    parts, wanted = arn.split(":", 5), pattern.split(":", 5)
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _holds(operator: str, key: str, wanted: list[str], found: str | None) -> bool:
    """Return whether a condition holds. Raises KeyError for an operator that is not implemented here."""
    known = {
        "Null": lambda: (found is None) == (wanted[0] == "true"),
        "StringEquals": lambda: found in wanted,
        "StringLike": lambda: found is not None and any(fnmatchcase(found, one) for one in wanted),
    }
    return bool(known[operator]())
