"""Why `up` refuses while jobs of an earlier version run: their persisted results name modules that no longer exist."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.earlier_versions.conftest import HERE, Earlier

# As Prefect reads a persisted result: JSON around a pickle in base64.
READS = """
import base64, json, sys
import cloudpickle
for path in sys.argv[1:]:
    try:
        cloudpickle.loads(base64.b64decode(json.load(open(path))["result"]))
    except ModuleNotFoundError as error:
        print(error.name)
    else:
        print("-")
"""


def test_persisted_results_cannot_be_read_by_this_version(earlier: Earlier, tmp_path: Path) -> None:
    """If all could be read, such jobs could be continued, and deployments/earlier_version.py could be removed."""
    names = [name.partition(".")[0] for name in earlier.json("kept-names.json")]
    assert {"blocks", "tasks", "node"} <= set(names)
    files = sorted(str(path) for path in (earlier.home / "prefect/storage").iterdir())
    done = subprocess.run(
        [sys.executable, "-c", READS, *files],
        cwd=tmp_path,  # the checkout has folders with these names
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1] / "src")},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    missing = set(done.stdout.split())
    assert {"blocks", "tasks", "node"} & missing
    assert missing <= {"blocks", "tasks", "node", "-"}
