"""Real programs that some tests need and that pip cannot install. If one is missing, the test is skipped.

`.ci/run` installs them from the packages in `.ci/packages`, and fails if a test was skipped with the text `MISSING`.
"""

from __future__ import annotations

import shutil

import pytest

MISSING = "is not on this computer"


def needs(*programs: str) -> pytest.MarkDecorator:
    """Return a mark that skips the test if one of these programs is not on the PATH."""
    missing = [name for name in programs if shutil.which(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} {MISSING}")
