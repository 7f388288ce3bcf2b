"""What a job records for the next ones: pools to avoid for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from spotwave.blocks.snapshots import SnapshotStore
from spotwave.tasks.market.learned import COOL_S, cooling_pools

NOW = datetime(2026, 5, 4, 0, 20, tzinfo=UTC)


def note(store: SnapshotStore, name: str, minutes_ago: float) -> None:
    at = NOW - timedelta(minutes=minutes_ago)
    fields = {"offer": f"aws {name} r1", "what": "interrupted", "at": at.isoformat()}
    store.note(f"losses/v1/{at:%Y-%m-%d}", name, fields)


def test_pools_cool_down_for_a_while_across_midnight(tmp_path: Path) -> None:
    store = SnapshotStore(url=str(tmp_path))
    assert cooling_pools(store, NOW) == {}
    note(store, "recent", 5)
    note(store, "yesterday", 40)
    note(store, "long-ago", COOL_S / 60 + 1)
    note(store, "of-a-clock-that-runs-ahead", -5)
    assert cooling_pools(store, NOW) == {
        "aws recent r1": "interrupted 5 min ago",
        "aws yesterday r1": "interrupted 40 min ago",
    }
