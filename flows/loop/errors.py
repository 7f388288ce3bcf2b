"""Errors that end a job without a result."""

from __future__ import annotations


class JobFailed(Exception):
    """The job ended without a result. The message is one line for the user and names the remedy."""
