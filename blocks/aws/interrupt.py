"""Interruption on demand through AWS Fault Injection Service (API 2020-12-01): EC2's own notice, and two minutes later
the termination. Only used if the block has a role for it; see docs/drill.md.

Sources: FIS actions reference, aws:ec2:send-spot-instance-interruptions; AWS FIS pricing (USD 0.10 per action-minute,
0.12 in GovCloud).
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from uuid import uuid4

from spotwave.blocks.aws.clients import Clients
from spotwave.blocks.errors import LaunchRefused, Misconfigured, Throttled
from spotwave.blocks.models import InterruptionMethod, Machine

NOTICE = "PT2M"  # the shortest that the action accepts, and the same as in a real interruption
BEGUN_S = 120.0
_ROLE = re.compile(r"arn:(?P<partition>aws[\w-]*):iam::(?P<account>\d{12}):role/[\w+=,.@/-]+")
_WAITING = ("pending", "initiating")

FORCED = InterruptionMethod(
    "interrupted by AWS Fault Injection Service, two minutes after its notice",
    notice=True,
    within_s=420.0,
    usd=0.36,  # three action-minutes at the highest price
)
ENDED = InterruptionMethod(
    "terminated by Spotwave, without notice, since the block has no role for AWS Fault Injection Service",
    notice=False,
    within_s=300.0,
)


def checked(role: str) -> str:
    """Return the role. Raises ValueError if it is not the ARN of a role."""
    if role and not _ROLE.fullmatch(role):
        raise ValueError(f"fault_role: '{role}' is not a role's ARN; use the form arn:aws:iam::123456789012:role/NAME")
    return role


def interrupt(clients: Clients, machine: Machine, role: str) -> None:
    """Start the experiment and return when it runs; its template is deleted again. Raises a LaunchRefused."""
    found = _ROLE.fullmatch(role)
    assert found is not None  # validated by the block
    arn = f"arn:{found['partition']}:ec2:{machine.region}:{found['account']}:instance/{machine.id}"
    made = clients.call(
        "fis",
        machine.region,
        "create_experiment_template",
        clientToken=str(uuid4()),
        description=f"spotwave drill, {machine.name}",
        roleArn=role,
        stopConditions=[{"source": "none"}],
        targets={
            "machine": {"resourceType": "aws:ec2:spot-instance", "resourceArns": [arn], "selectionMode": "ALL"},
        },
        actions={
            "interrupt": {
                "actionId": "aws:ec2:send-spot-instance-interruptions",
                "parameters": {"durationBeforeInterruption": NOTICE},
                "targets": {"SpotInstances": "machine"},
            }
        },
        tags={"spotwave": machine.job_key},
    )
    template = made["experimentTemplate"]["id"]
    try:
        begun = clients.call(
            "fis",
            machine.region,
            "start_experiment",
            clientToken=str(uuid4()),
            experimentTemplateId=template,
            tags={"spotwave": machine.job_key},
        )
        _until_it_runs(clients, machine.region, begun["experiment"]["id"])
    finally:
        with suppress(LaunchRefused):  # a remaining template costs nothing, and the experiment matters more
            clients.call("fis", machine.region, "delete_experiment_template", id=template)


def _until_it_runs(clients: Clients, region: str, experiment: str) -> None:
    """Wait until the experiment runs: the role's permissions are only checked after it was accepted."""
    limit = time.monotonic() + BEGUN_S
    while time.monotonic() < limit:
        state = clients.call("fis", region, "get_experiment", id=experiment)["experiment"]["state"]
        if state["status"] == "failed":
            why = " ".join(str(state.get("reason", "")).split())[:160]
            raise Misconfigured(
                f"aws {region}: the experiment failed: {why}; fault_role: give it the policy of docs/drill.md"
            )
        if state["status"] not in _WAITING:
            return
        time.sleep(1.0)  # the API has no waiter for experiments
    raise Throttled(f"aws {region}: the experiment {experiment} had not started after {BEGUN_S:.0f} s")
