"""How a story ends without a result."""

from __future__ import annotations


class JobFailed(Exception):
    """The job ended without a result; the message is one line for the user, with what to do."""
