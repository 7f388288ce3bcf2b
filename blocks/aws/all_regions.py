"""One call to every region of the account, including those that the block's market leaves out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from spotwave.blocks.aws.clients import AT_MOST, Clients
from spotwave.blocks.aws.refusals import code_behind
from spotwave.blocks.concurrent import Unavailable, gather
from spotwave.blocks.errors import LaunchRefused, Throttled

_FORBIDDEN = {"UnauthorizedOperation", "AuthFailure", "OptInRequired", "UnrecognizedClientException"}


def in_all_regions(clients: Clients, ask: Callable[[str], list[Any]]) -> dict[str, list[Any]]:
    """Return the result of `ask` by region, for all regions of the account. Raises a LaunchRefused if one fails.

    A region that a policy denies to these credentials counts as empty: they cannot have launched anything there.
    """

    def asked(region: str) -> list[Any]:
        try:
            return ask(region)
        except LaunchRefused as refused:
            if code_behind(refused) in _FORBIDDEN and region != clients.home:
                return []
            raise Unavailable(refused.reason) from refused

    regions = [row["RegionName"] for row in clients.listed("ec2", clients.home, "describe_regions", "Regions")]
    answers, failed = gather({region: partial(asked, region) for region in regions}, AT_MOST)
    if failed:
        raise Throttled("; ".join(failed.values()))
    return answers
