"""Real programs that some tests need and that pip cannot install. Where one is missing the test is skipped, with words
that `.ci/run` looks for: it installs them, and fails if a test was skipped all the same."""

from __future__ import annotations

import shutil

import pytest

MISSING = "is not on this computer"


def needs(*programs: str) -> pytest.MarkDecorator:
    """A mark: skip where one of these is not on the PATH."""
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} {MISSING}")
