from __future__ import annotations

import json
import subprocess
from dataclasses import replace

import pytest

from blocks.user_data import MAX_BYTES, render
from node.contract import Brief
from tests.blocks.machine_kit import brief

TEMPLATE = "set -eu\n@SETTINGS@\ncat <<'BRIEF'\n@BRIEF@\nBRIEF\nprintf '%s' \"$ODD\" >&2\n"
AWKWARD = "a'b\"c $(touch x) `touch x` \\ @BRIEF@ @SETTINGS@\nBRIEF\n$HOME é"


def test_awkward_values_survive_the_shell() -> None:
    told = replace(brief().brief, remote=AWKWARD)
    script = render(told, settings={"ODD": AWKWARD}, template=TEMPLATE)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert Brief.from_json(done.stdout) == told
    assert done.stderr == AWKWARD


def test_the_houses_own_bootstrap_takes_it() -> None:
    script = render(brief().brief, settings={"SPOTWAVE_PYTHON": "/opt/python"})
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert "export SPOTWAVE_PYTHON=/opt/python\n" in script
    assert "export SPOTWAVE_ATTEMPT=1\n" in script
    assert json.loads(script.split("<<'BRIEF'\n")[1].split("\nBRIEF\n")[0])["job_key"] == "sw-0123456789ab"
    assert len(script.encode()) <= MAX_BYTES


def test_what_no_cloud_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="16384"):
        render(brief().brief, settings={"ODD": "x" * MAX_BYTES}, template=TEMPLATE)
    with pytest.raises(ValueError, match="variable"):
        render(brief().brief, settings={"A B": "x"}, template=TEMPLATE)
    with pytest.raises(ValueError, match="@BRIEF@"):
        render(brief().brief, settings={}, template="@SETTINGS@\n")
