"""Tests that use the embedded default run in one process, since it costs a minute of a core to start.

pytest-xdist chooses the process by the test's id alone, and pytest 9.2 ignores xdist's own groups (`--dist loadgroup`
of 3.8.0 sets `_nodeid`, which is no longer read). So the files are listed here; a missing one fails the collection.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

FILES = {
    "tests/deployments/proxy/test_calls.py",
    "tests/deployments/proxy/test_events.py",
    "tests/deployments/proxy/test_run_through.py",
    "tests/deployments/proxy/test_tokens.py",
    "tests/deployments/test_browser.py",
    "tests/deployments/test_other_user.py",
    "tests/deployments/test_run.py",
    "tests/deployments/test_schedule.py",
    "tests/deployments/test_up_down.py",
    "tests/flows/test_bad_input.py",
    "tests/flows/test_cancel.py",
    "tests/flows/test_drill.py",
    "tests/flows/test_housekeeping.py",
    "tests/flows/test_limits.py",
    "tests/flows/test_prices.py",
    "tests/flows/test_rounds.py",
    "tests/flows/test_shci.py",
    "tests/security/test_tls.py",
    "tests/tasks/test_allowance.py",
    "tests/tasks/test_mailbox.py",
    "tests/tasks/test_provision.py",
}


class OneServerScheduling(LoadFileScheduling):
    """A file stays in one process, and so do all of FILES."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "embedded" if file in FILES else file


def check_listed(item: pytest.Item) -> None:
    """Raise UsageError for a test that uses the embedded default in a file that is not listed.

    Thorough tests are exempt: `make test-all` runs them one at a time.
    """
    file = item.nodeid.partition("::")[0]
    uses = "embedded" in getattr(item, "fixturenames", ()) and item.get_closest_marker("thorough") is None
    if uses and file not in FILES:
        raise pytest.UsageError(f"{file} uses the embedded default: add it to tests/one_server.py")
