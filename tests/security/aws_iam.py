"""The rights that Amazon's calls need, and an emulator that grants the rights of the documented policies.

Sources: Service Authorization Reference, "Actions, resources, and condition keys" of Amazon EC2, IAM, STS, Secrets
Manager, Systems Manager, Service Quotas, Price List and Fault Injection Service; EC2 User Guide, "Example policies to
control access the Amazon EC2 API" (a launch needs a right for each of its resources; tags at the launch need
ec2:CreateTags); IAM User Guide, "Pass a role"; EC2 User Guide, "Service-linked role for Spot Instance requests".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.emulators.aws import LAUNCHER, AwsEmulator
from tests.emulators.aws_account import NUMBER, PROFILE
from tests.emulators.aws_answers import refusal
from tests.emulators.aws_ec2 import nested
from tests.emulators.aws_fis import operation_of
from tests.emulators.aws_requests import ADVISOR, form_of, is_fis, is_json, region_of, scope_of, target_of
from tests.emulators.server import Request, Response
from tests.security.guard import POLICIES, Guarded, Right, Unknown
from tests.security.iam_policy import allows

SPOT_ROLE = "aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
# Actions without resource types: policies can only use "*" for them.
_LOOKS = {
    "ec2": {
        "DescribeAvailabilityZones",
        "DescribeImages",
        "DescribeInstanceTypeOfferings",
        "DescribeInstanceTypes",
        "DescribeInstances",
        "DescribeNetworkInterfaces",
        "DescribeRegions",
        "DescribeSpotInstanceRequests",
        "DescribeSpotPriceHistory",
        "DescribeSubnets",
        "DescribeVolumes",
    },
    "pricing": {"GetProducts"},
    "secretsmanager": {"ListSecrets"},
    "servicequotas": {"GetServiceQuota"},
    "sts": {"GetCallerIdentity"},
}
# Calls on one existing resource: the parameter with its id, its type in the ARN.
_ENDS = {
    "TerminateInstances": ("InstanceId", "instance"),
    "DeleteVolume": ("VolumeId", "volume"),
    "DeleteNetworkInterface": ("NetworkInterfaceId", "network-interface"),
    "CancelSpotInstanceRequests": ("SpotInstanceRequestId", "spot-instances-request"),
}
_OF_A_SECRET = {"DeleteSecret", "PutSecretValue", "GetSecretValue"}


def policy(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((POLICIES / f"aws-{name}.json").read_text())
    return found


class GuardedAws(Guarded, AwsEmulator):
    """`policies`: policies by role; tests may change them."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.policies = {name: policy(name) for name in ("launcher", "drill", "machine")}
        self.has_used_fis = True
        self._experiment: dict[str, str] = {}  # tags of the last experiment

    def role_of(self, request: Request) -> str | None:
        if request.path == ADVISOR:
            return None  # public and unsigned
        key = scope_of(request)[0]
        if key in LAUNCHER:
            return "launcher"
        return "machine" if self.fleet.keys(key) else None

    def holder_of(self, role: str, right: Right, request: Request) -> str | None:
        holders = ("launcher", "drill") if role == "launcher" else (role,)
        return next((holder for holder in holders if allows(self.policies[holder], right)), None)

    def deny(self, request: Request, right: Right) -> Response:
        code = "AccessDeniedException" if is_json(request) else "UnauthorizedOperation"
        return refusal(request, code, f"not authorized to perform: {right.action}", 403)

    def rights_of(self, request: Request) -> Iterator[Right]:
        service, region = scope_of(request)[3], region_of(request)
        if is_fis(request):
            yield from self._of_an_experiment(region, request)
            return
        if is_json(request):
            yield from self._of_json(service, region, target_of(request), json.loads(request.body))
            return
        parameters = nested(form_of(request))
        action = str(parameters["Action"])
        if service == "iam" and action == "GetInstanceProfile":
            profile = parameters["InstanceProfileName"]
            yield Right("iam:GetInstanceProfile", f"arn:aws:iam::{NUMBER}:instance-profile/{profile}")
        elif service == "iam" and action == "GetRole":
            path = SPOT_ROLE if SPOT_ROLE.endswith(f"/{parameters['RoleName']}") else parameters["RoleName"]
            yield Right("iam:GetRole", f"arn:aws:iam::{NUMBER}:role/{path}")
        elif action == "RunInstances":
            yield from self._of_a_launch(region, parameters)
        elif action in _ENDS:
            yield from self._of_an_end(region, parameters)
        elif action in _LOOKS.get(service, ()):
            yield Right(f"{service}:{action}")
        else:
            raise Unknown(f"{service}:{action}")

    def _of_json(self, service: str, region: str, operation: str, parameters: dict[str, Any]) -> Iterator[Right]:
        secret = f"arn:aws:secretsmanager:{region}:{NUMBER}:secret"
        if service == "secretsmanager" and operation == "CreateSecret":
            tags = {f"aws:RequestTag/{one['Key']}": one["Value"] for one in parameters.get("Tags", [])}
            yield Right("secretsmanager:CreateSecret", f"{secret}:{parameters['Name']}-aBcDeF", tags)
            if tags:
                yield Right("secretsmanager:TagResource", f"{secret}:{parameters['Name']}-aBcDeF", tags)
        elif service == "secretsmanager" and operation in _OF_A_SECRET:
            yield Right(f"secretsmanager:{operation}", f"{secret}:{parameters['SecretId']}-aBcDeF")
        elif service == "ssm" and operation == "GetParameter":
            owner = "" if parameters["Name"].startswith("/aws/service/") else NUMBER
            yield Right("ssm:GetParameter", f"arn:aws:ssm:{region}:{owner}:parameter{parameters['Name']}")
        elif operation in _LOOKS.get(service, ()):
            yield Right(f"{service}:{operation}")
        else:
            raise Unknown(f"{service}:{operation}")

    def _of_a_launch(self, region: str, parameters: dict[str, Any]) -> Iterator[Right]:
        ours = f"arn:aws:ec2:{region}:{NUMBER}"
        market = parameters.get("InstanceMarketOptions", {}).get("MarketType", "on-demand")
        yield Right("ec2:RunInstances", f"arn:aws:ec2:{region}::image/{parameters['ImageId']}")
        yield Right("ec2:RunInstances", f"arn:aws:ec2:{region}::snapshot/snap-0123")  # of the image's disks
        yield Right("ec2:RunInstances", f"{ours}:subnet/{parameters['SubnetId']}")
        yield Right("ec2:RunInstances", f"{ours}:security-group/sg-0123")  # the default VPC's own
        tagged = {one["ResourceType"]: one["Tag"] for one in parameters.get("TagSpecification", [])}
        made = ["instance", "volume", "network-interface", *(["spot-instances-request"] if market == "spot" else [])]
        for kind in made:
            tags = {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tagged.get(kind, [])}
            yield Right("ec2:RunInstances", f"{ours}:{kind}/*", {**tags, "ec2:InstanceMarketType": market})
            if tags:
                yield Right("ec2:CreateTags", f"{ours}:{kind}/*", {**tags, "ec2:CreateAction": "RunInstances"})
        if profile := parameters.get("IamInstanceProfile", {}).get("Name"):
            # The role of the profile, which has the same name in docs/accounts/aws.md.
            service = {"iam:PassedToService": "ec2.amazonaws.com"}
            yield Right("iam:PassRole", f"arn:aws:iam::{NUMBER}:role/{profile}", service)
        if market == "spot" and not self.account.has_used_spot:
            service = {"iam:AWSServiceName": "spot.amazonaws.com"}
            yield Right("iam:CreateServiceLinkedRole", f"arn:aws:iam::{NUMBER}:role/{SPOT_ROLE}", service)

    def _of_an_end(self, region: str, parameters: dict[str, Any]) -> Iterator[Right]:
        parameter, kind = _ENDS[parameters["Action"]]
        named = parameters[parameter]
        for id_ in [named] if isinstance(named, str) else named:
            tags = {f"aws:ResourceTag/{key}": value for key, value in self._tags_of(id_).items()}
            yield Right(f"ec2:{parameters['Action']}", f"arn:aws:ec2:{region}:{NUMBER}:{kind}/{id_}", tags)

    def _of_an_experiment(self, region: str, request: Request) -> Iterator[Right]:
        """Return the rights of a call to the Fault Injection Service."""
        operation, here = operation_of(request), f"arn:aws:fis:{region}:{NUMBER}"
        parameters = json.loads(request.body or b"{}")
        tags = {f"aws:RequestTag/{key}": value for key, value in parameters.get("tags", {}).items()}
        action, id_ = f"fis:{operation}", parameters.get("experimentTemplateId") or request.path.rpartition("/")[2]
        of_template = self.fis.templates.get(id_, {}).get("tags", {})
        its = {f"aws:ResourceTag/{key}": value for key, value in of_template.items()}
        if operation == "CreateExperimentTemplate":
            for one in parameters["actions"].values():
                yield Right(action, f"{here}:action/{one['actionId']}", tags)
            yield Right(action, f"{here}:experiment-template/*", tags)
            yield Right("fis:TagResource", f"{here}:experiment-template/*", tags)
            yield Right("iam:PassRole", parameters["roleArn"], {"iam:PassedToService": "fis.amazonaws.com"})
        elif operation == "StartExperiment":
            self._experiment = parameters["tags"]
            yield Right(action, f"{here}:experiment-template/{id_}", {**its, **tags})
            yield Right(action, f"{here}:experiment/*", tags)
            yield Right("fis:TagResource", f"{here}:experiment/*", tags)
            if not self.has_used_fis:
                path, service = "aws-service-role/fis.amazonaws.com/AWSServiceRoleForFIS", "fis.amazonaws.com"
                role = f"arn:aws:iam::{NUMBER}:role/{path}"
                yield Right("iam:CreateServiceLinkedRole", role, {"iam:AWSServiceName": service})
        elif operation == "GetExperiment":
            its = {f"aws:ResourceTag/{key}": value for key, value in self._experiment.items()}
            yield Right(action, f"{here}:experiment/{id_}", its)
        elif operation == "DeleteExperimentTemplate":
            yield Right(action, f"{here}:experiment-template/{id_}", its)
        else:
            raise Unknown(action)

    def _tags_of(self, id_: str) -> dict[str, str]:
        if id_ in self.fleet.instances:
            return self.fleet.instances[id_].tags
        return self.fleet.things[id_].tags if id_ in self.fleet.things else {}


assert PROFILE == "spotwave-machine"  # the policy has this name
