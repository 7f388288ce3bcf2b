"""AWS Fault Injection Service for drills: templates, and experiments that interrupt spot instances."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from tests.emulators.aws_fleet import ENDED, Fleet
from tests.emulators.server import Request, Response

ACTION = "aws:ec2:send-spot-instance-interruptions"
NOTICE_S = {"PT2M": 120.0, "PT3M": 120.0}  # the notice comes two minutes before the end, whatever the duration


def operation_of(request: Request) -> str:
    """Return the operation of a request, e.g. 'StartExperiment'."""
    what = request.path.strip("/").partition("/")[0]
    verb = {("POST", "experimentTemplates"): "Create", ("POST", "experiments"): "Start", ("GET", "experiments"): "Get"}
    kind = {"experimentTemplates": "ExperimentTemplate", "experiments": "Experiment"}.get(what, what)
    return f"{verb.get((request.method, what), request.method.capitalize())}{kind}"


class Fis:
    """`allowed`: whether the experiments' role may interrupt instances."""

    def __init__(self, fleet: Fleet) -> None:
        self.allowed = True
        self.templates: dict[str, dict[str, Any]] = {}
        self._fleet = fleet
        self._states: dict[str, list[dict[str, str]]] = {}  # successive states of an experiment, one per call

    def answer(self, request: Request, region: str) -> Response:
        operations: dict[str, Callable[[Request, str], Response]] = {
            "CreateExperimentTemplate": self._create,
            "StartExperiment": self._start,
            "GetExperiment": self._get,
            "DeleteExperimentTemplate": self._delete,
        }
        found = operations.get(operation_of(request))
        return found(request, region) if found else _refused(404, "ResourceNotFoundException", request.path)

    def _create(self, request: Request, region: str) -> Response:
        asked = json.loads(request.body)
        action = asked["actions"]["interrupt"]
        target = asked["targets"][action["targets"]["SpotInstances"]]
        if action["actionId"] != ACTION or action["parameters"]["durationBeforeInterruption"] not in NOTICE_S:
            return _refused(400, "ValidationException", "action")
        if target["resourceType"] != "aws:ec2:spot-instance" or not asked["stopConditions"]:
            return _refused(400, "ValidationException", "targets")
        id_ = f"EXT{uuid4().hex[:14]}"
        self.templates[id_] = asked
        return _told({"experimentTemplate": {"id": id_, "roleArn": asked["roleArn"]}})

    def _start(self, request: Request, region: str) -> Response:
        """Start an experiment; targets and role are only resolved after the answer."""
        asked = json.loads(request.body)
        template = self.templates.get(asked["experimentTemplateId"])
        if template is None:
            return _refused(404, "ResourceNotFoundException", "template")
        action = template["actions"]["interrupt"]
        arns = template["targets"][action["targets"]["SpotInstances"]]["resourceArns"]
        living = [id_ for arn in arns if (id_ := self._living(arn, region))]
        states = [{"status": "pending"}, {"status": "initiating"}]
        if not living:
            states.append({"status": "failed", "reason": "Target resolution returned empty set"})
        elif not self.allowed:
            states.append({"status": "failed", "reason": "The role is not authorised to perform the required action."})
        else:
            states.append({"status": "running"})
            for id_ in living:
                self._fleet.interrupt(id_, NOTICE_S[action["parameters"]["durationBeforeInterruption"]])
        experiment = f"EXP{uuid4().hex[:14]}"
        self._states[experiment] = states
        return _told({"experiment": {"id": experiment, "state": states[0]}})

    def _living(self, arn: str, region: str) -> str | None:
        _, _, service, where, _, resource = arn.split(":")
        id_ = resource.removeprefix("instance/")
        one = self._fleet.instances.get(id_)
        spot = one is not None and (one.region, where, service) == (region, region, "ec2") and one.request is not None
        return id_ if spot and one is not None and one.state not in ENDED else None

    def _get(self, request: Request, region: str) -> Response:
        id_ = request.path.rpartition("/")[2]
        if id_ not in self._states:
            return _refused(404, "ResourceNotFoundException", id_)
        states = self._states[id_]
        state = states.pop(0) if len(states) > 1 else states[0]
        return _told({"experiment": {"id": id_, "state": state}})

    def _delete(self, request: Request, region: str) -> Response:
        id_ = request.path.rpartition("/")[2]
        if self.templates.pop(id_, None) is None:
            return _refused(404, "ResourceNotFoundException", id_)
        return _told({"experimentTemplate": {"id": id_}})


def _told(said: dict[str, Any]) -> Response:
    return Response(json.dumps(said).encode())


def _refused(status: int, code: str, message: str) -> Response:
    return Response(json.dumps({"message": message}).encode(), status, headers={"x-amzn-ErrorType": code})
