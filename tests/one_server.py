"""Tests that use the same server run in one process, since the embedded default costs a minute of a core to start.

pytest-xdist chooses the process by the test's id alone, and pytest 9.2 ignores xdist's own groups (`--dist loadgroup`
of 3.8.0 sets `_nodeid`, which is no longer read). So the files are listed here; a missing one fails the collection.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

#: By fixture.
FILES = {
    "embedded": {
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
    },
    "plain_server": {
        "tests/blocks/test_blocks_on_server.py",
        "tests/deployments/test_controller.py",
        "tests/deployments/test_earlier_pool.py",
        "tests/deployments/test_earlier_version.py",
        "tests/deployments/test_gate.py",
    },
}


class OneServerScheduling(LoadFileScheduling):
    """A file stays in one process, and so do all files of the same server."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((server for server, files in FILES.items() if file in files), file)


def check_listed(item: pytest.Item) -> None:
    """Raise UsageError for a test that uses a server in a file that is not listed.

    Thorough tests are exempt: `make test-all` runs them one at a time.
    """
    if item.get_closest_marker("thorough") is not None:
        return
    file = item.nodeid.partition("::")[0]
    for server in FILES.keys() & set(getattr(item, "fixturenames", ())):
        if file not in FILES[server]:
            raise pytest.UsageError(f"{file} uses the fixture {server}: add it to tests/one_server.py")
