"""Tags on every rented resource. They suffice to find and recover it; no other record is needed.

spotwave           the job key; resources without it were not created by Spotwave
spotwave-attempt   the attempt's number
spotwave-nodes     how many machines the attempt has
spotwave-node      which of them this is, where each is created by a request of its own
spotwave-deadline  Unix seconds by which the machine ends itself
spotwave-disk      GiB of the boot disk
spotwave-offer-0…  the offer as JSON in base64, in pieces
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from itertools import count, takewhile

from pydantic import ValidationError

from spotwave.blocks.models import LaunchBrief, Machine, Offer

JOB = "spotwave"
ATTEMPT = "spotwave-attempt"
NODES = "spotwave-nodes"
NODE = "spotwave-node"
DEADLINE = "spotwave-deadline"
DISK = "spotwave-disk"
OFFER = "spotwave-offer"
_PIECE = 200  # characters; AWS and Azure allow 256 in a tag's value


def tags_of(brief: LaunchBrief) -> dict[str, str]:
    """Return the short tags, also valid as GCP labels: only lower case, digits and '-'."""
    return {
        JOB: brief.brief.job_key,
        ATTEMPT: str(brief.brief.attempt),
        NODES: str(brief.brief.nodes),
        DEADLINE: str(int(brief.brief.deadline)),
        DISK: str(round(brief.disk_gib)),
    }


def node_tags_of(brief: LaunchBrief) -> dict[str, str]:
    """`tags_of`, and the node's index: for a cloud that creates each machine by a request of its own."""
    return {**tags_of(brief), NODE: str(brief.brief.node)}


def packed(offer: Offer) -> str:
    """Encode an offer in characters that the tags and metadata of every cloud accept; `unpacked` decodes it."""
    return base64.urlsafe_b64encode(offer.model_dump_json(exclude_defaults=True).encode()).decode()


def unpacked(text: str) -> Offer:
    """Decode an offer. Raises ValueError if the text was not written by `packed`."""
    return Offer.model_validate_json(base64.urlsafe_b64decode(text.encode()))


def in_pieces(offer: Offer) -> dict[str, str]:
    """Return the offer as tags of at most 200 characters each."""
    text = packed(offer)
    pieces = [text[start : start + _PIECE] for start in range(0, len(text), _PIECE)]
    return {f"{OFFER}-{number}": piece for number, piece in enumerate(pieces)}


def offer_in(tags: Mapping[str, str]) -> str:
    """Join the packed offer from the tags of `in_pieces`."""
    names = (f"{OFFER}-{number}" for number in count())
    return "".join(tags[name] for name in takewhile(tags.__contains__, names))


def machine_from(
    tags: Mapping[str, str],
    offer: str,
    *,
    cloud: str,
    id_: str,
    region: str,
    zone: str | None,
    launched_at: datetime,
    node: int | None = None,
) -> Machine | None:
    """Build the machine from its tags and its packed offer.

    node: its index, if the cloud reports it: machines created by one request carry the same tags.
    Returns None if Spotwave did not create it. A machine with damaged tags is still returned, since it bills; its
    offer then holds only the place.
    """
    job_key = tags.get(JOB)
    if not job_key:
        return None
    try:
        its_offer = unpacked(offer)
    except (ValueError, ValidationError):
        its_offer = _unknown(cloud, region, zone, launched_at)
    return Machine(
        cloud=cloud,
        id=id_,
        region=region,
        zone=zone,
        offer=its_offer,
        job_key=job_key,
        attempt=int(_number(tags.get(ATTEMPT)) or 0),
        node=int(_number(tags.get(NODE)) or 0) if node is None else node,
        launched_at=launched_at,
        deadline=deadline_in(tags),
        disk_gib=_number(tags.get(DISK)) or 0.0,
    )


def deadline_in(tags: Mapping[str, str]) -> float | None:
    """Return the deadline in Unix seconds; None if the tags do not hold it."""
    text = tags.get(DEADLINE, "")
    return float(text) if text.isdecimal() else None


def _unknown(cloud: str, region: str, zone: str | None, seen_at: datetime) -> Offer:
    return Offer(
        cloud=cloud,
        instance_type="unknown",
        region=region,
        zone=zone,
        family="unknown",
        vcpus=0,
        cores=0,
        memory_gib=0,
        architecture="x86_64",
        spot_usd_h=0.0,
        notice_s=0.0,
        seen_at=seen_at,
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
