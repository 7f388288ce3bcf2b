"""An attempt of several local machines: each has its own brief and secret, and a launch that fails leaves none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spotwave.blocks.errors import Misconfigured
from spotwave.blocks.local.machines import Machines
from spotwave.node.contract import Brief
from tests.blocks.machine_kit import HEAD, brief, offer, until

SECRETS = {"rclone.conf": "[a]\n", "api.json": "{}", "node-1.api.json": '{"node": 1}'}
KEEPS_ITS_BRIEF = HEAD + 'touch "$SPOTWAVE_WORK/up"\nsleep 600\n'


def test_each_machine_is_given_its_own_brief_and_secret(tmp_path: Path) -> None:
    machines = Machines(tmp_path, KEEPS_ITS_BRIEF)
    what = brief(secrets=SECRETS, nodes=2, lease_id="lease-0", node_leases=("lease-1",))
    launched = machines.launch(offer(), what, 2)
    try:
        for machine in launched:
            place = machines.place(machine)
            until(lambda place=place: (place / "work/up").exists())  # type: ignore[misc]
            told = Brief.read(place / "work/brief.json")
            assert (told.node, told.nodes, told.lease_id) == (machine.node, 2, f"lease-{machine.node}")
            secrets = {path.name: path.read_text() for path in (place / "secrets").iterdir()}
            own = json.dumps({"node": 1}) if machine.node else "{}"
            assert secrets == {"rclone.conf": "[a]\n", "api.json": own}
    finally:
        for machine in launched:
            machines.terminate(machine)


def test_a_launch_that_fails_on_the_way_leaves_no_machine(tmp_path: Path) -> None:
    """The folder of the second machine cannot be made."""
    machines, what = Machines(tmp_path, KEEPS_ITS_BRIEF), brief(secrets=SECRETS, nodes=2, node_leases=("lease-1",))
    in_the_way = tmp_path / f"{what.of_node(1).brief.name}-{offer().instance_type}"
    in_the_way.write_text("a file")
    with pytest.raises(Misconfigured, match=in_the_way.name):
        machines.launch(offer(), what, 2)
    assert machines.find() == []
    assert list(tmp_path.iterdir()) == [in_the_way], "a folder that stays would pass for a machine"
    in_the_way.unlink()
    launched = machines.launch(offer(), what, 2)
    assert [machine.node for machine in launched] == [0, 1]
    for machine in launched:
        machines.terminate(machine)
