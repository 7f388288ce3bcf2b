"""What `node.prefect_server` is for, without Prefect: an event loop and two connections to one SQLite file.

The loop's thread has a transaction open; the other connection's thread waits for its write lock; a cursor of that other
connection has become garbage, and the loop's thread allocates.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WAITS_S = 3.0
CODE = """
import gc, sqlite3, sys, threading
from node.prefect_server import collect_apart
path, apart, waits_s = sys.argv[1], sys.argv[2] == "apart", float(sys.argv[3])
if apart:
    collect_apart()
mine, other = (sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=waits_s) for _ in "12")
mine.execute("PRAGMA journal_mode = WAL")
mine.execute("CREATE TABLE t (x)")
mine.execute("BEGIN IMMEDIATE")

class Ring:
    pass

def garbage():
    ring = Ring()
    ring.itself, ring.cursor = ring, other.execute("SELECT 1")

garbage()
said = []
begins = threading.Event()

def write():
    begins.set()
    try:
        other.execute("INSERT INTO t VALUES (1)")
        said.append("written")
    except sqlite3.OperationalError as error:
        said.append(str(error))

writer = threading.Thread(target=write)
writer.start()
begins.wait()
threading.Event().wait(0.5)  # until SQLite waits for the lock; nothing tells when it does
kept = [[] for _ in range(200_000)]  # where Python collects by itself, it does so now
mine.execute("COMMIT")
writer.join()
print(*said)
"""


@pytest.mark.parametrize(("collector", "says"), [("apart", "written"), ("python's own", "database is locked")])
def test_garbage_of_a_waiting_connection_holds_up_nobody(tmp_path: Path, collector: str, says: str) -> None:
    """The second half shows what happens without, so that the first can fail."""
    command = [sys.executable, "-c", CODE, str(tmp_path / "data.db"), collector, str(WAITS_S)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == says, done.stderr
