"""The gate: which of the waiting jobs may start. One function, `admit`, for all runs, whoever created them.

The policy is the simplest: first come, first served, within limits for all jobs together. A job that does not fit lets
no later one overtake it, so that a large job is not passed over for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spotwave.blocks.models import Requirements
from spotwave.blocks.validation import first_problem

QUEUED = "Queued"  #: name of the state of a job that was not admitted; its type is SCHEDULED
LIMITS_FILE = "limits.yaml"  #: in the home
_MOST_BYTES = 100_000


class Reason(StrEnum):
    """Why a job waits; the first word of its state's message."""

    JOBS = "QuotaJobs"
    VCPUS = "QuotaVcpus"
    USD_HOUR = "QuotaUsdHour"


class InvalidLimits(ValueError):
    """The file of limits cannot be used. The message is one line for the user."""


class Limits(BaseModel):
    """Limits for all jobs together; None: unlimited."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    machines: int | None = Field(None, ge=1, le=100_000)  #: machines at once
    vcpus: int | None = Field(None, ge=1, le=10_000_000)  #: vCPUs of these machines
    usd_per_hour: float | None = Field(None, gt=0, le=1e6, allow_inf_nan=False)  #: their price, USD/h


@dataclass(frozen=True)
class Claim:
    """What a job claims of the limits."""

    run_id: UUID
    since: datetime  #: when the job was to start, which decides the order
    vcpus: int = 1
    usd_per_hour: float = 0.0
    machines: int = 1
    begun: bool = False  #: whether it was admitted before: it may have a machine that bills, and starts at once


@dataclass(frozen=True)
class Admission:
    """The answer of the gate: the runs that may start now, in order, and the message of the others."""

    admitted: list[UUID]
    queued: dict[UUID, str]


def admit(waiting: Iterable[Claim], running: Iterable[Claim], limits: Limits, most_jobs: int | None) -> Admission:
    """Decide which of the waiting jobs may start beside the running ones. most_jobs: the limit of the work pool."""
    used = list(running)
    admission = Admission([], {})
    message = ""
    for claim in sorted(waiting, key=lambda one: (not one.begun, one.since, one.run_id)):
        if not claim.begun:
            message = message or _obstacle(claim, used, limits, most_jobs)
        if message:
            admission.queued[claim.run_id] = message
        else:
            admission.admitted.append(claim.run_id)
            used.append(claim)
    return admission


def _obstacle(claim: Claim, used: list[Claim], limits: Limits, most_jobs: int | None) -> str:
    """Return why the claim does not fit beside those in use; empty if it does.

    A job that alone exceeds a limit fits when nothing else is in use: it would never start otherwise.
    """
    if most_jobs is not None and len(used) >= most_jobs:
        return f"{Reason.JOBS}: {len(used)} of {most_jobs} jobs are running"
    if not used:
        return ""
    if limits.machines is not None and (machines := _total(used, "machines")) + claim.machines > limits.machines:
        return f"{Reason.JOBS}: {machines:g} of {limits.machines} machines are in use"
    if limits.vcpus is not None and (vcpus := _total(used, "vcpus")) + claim.vcpus > limits.vcpus:
        return f"{Reason.VCPUS}: {vcpus:g} of {limits.vcpus} vCPUs are in use, {claim.vcpus} more needed"
    most = limits.usd_per_hour
    if most is not None and (usd_h := _total(used, "usd_per_hour")) + claim.usd_per_hour > most:
        return f"{Reason.USD_HOUR}: {usd_h:.4g} of {most:g} USD/h are in use, {claim.usd_per_hour:.4g} more needed"
    return ""


def _total(claims: list[Claim], field: str) -> float:
    return float(sum(getattr(claim, field) for claim in claims))


def claim_of(run_id: UUID, since: datetime, parameters: Mapping[str, Any], begun: bool) -> Claim:
    """Return the claim of a run by its parameters, as untrusted as they are: the largest machine that they allow.

    Without a maximum it is the smallest machine, and no price: the choice is the market's.
    """
    try:
        wanted = Requirements.model_validate(parameters.get("requirements") or {})
    except ValidationError:
        return Claim(run_id, since, begun=begun)  # the job itself will refuse it
    vcpus, usd_h = wanted.max_vcpus or wanted.min_vcpus, wanted.max_usd_h or 0.0
    return Claim(run_id, since, vcpus=vcpus, usd_per_hour=usd_h, begun=begun)


def read_limits(home: Path) -> Limits:
    """Return the limits of the file in the home; no file: none. Raises InvalidLimits."""
    path = home / LIMITS_FILE
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise InvalidLimits(f"{path}: larger than {_MOST_BYTES} bytes")
        return Limits.model_validate(yaml.safe_load(content) or {})
    except FileNotFoundError:
        return Limits()
    except ValidationError as error:
        raise InvalidLimits(f"{path}: {first_problem(error)}") from None
    except (OSError, yaml.YAMLError, RecursionError) as error:
        raise InvalidLimits(f"{path}: {' '.join(str(error).split())}") from None
