"""Why a cloud refuses a launch, as types and fields: what follows from a refusal is never read off its words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from spotwave.node.storage.secret_patterns import without_secrets

#: What a refused offer and those that are refused with it have in common: 'pool' is cloud, type and zone; 'type' is the
#: type in its region, 'everywhere' the type in all regions.
Reach = Literal["pool", "zone", "type", "everywhere", "region", "cloud"]


class LaunchRefused(Exception):
    """A cloud said no. The subclass says what follows; only `Misconfigured` ends the job.

    `reason`: as its SDK told it, which may quote a signed address or a token; those are left out.
    """

    reach: Reach = "pool"  #: which other offers would be refused alike (blocks.refusal_scope)
    quota: str = ""  #: the cloud's name of the quota that is used up: then only offers that take of it
    left: float | None = None  #: the most that can be left of it; None: the cloud does not tell
    lasting: bool = False  #: to wait does not help

    def __init__(self, reason: str) -> None:
        self.reason = without_secrets(reason)
        super().__init__(self.reason)


class Capacity(LaunchRefused):
    """No such machine free in this zone just now: skip the pool."""


class Quota(LaunchRefused):
    """The account may not have more, or has nothing there to launch into (then it is `lasting`): skip what `reach`
    covers; of a `quota`, what takes as much of it or more."""

    def __init__(
        self, reason: str, reach: Reach, quota: str = "", left: float | None = None, lasting: bool = False
    ) -> None:
        super().__init__(reason)
        self.reach = reach
        self.quota = quota
        self.left = left
        self.lasting = lasting


class Closed(LaunchRefused):
    """A policy of those who run the account forbids it there: skip the region (or what `reach` covers), for good."""

    lasting = True

    def __init__(self, reason: str, reach: Reach = "region") -> None:
        super().__init__(reason)
        self.reach = reach


class Throttled(LaunchRefused):
    """Asked too fast, or not answered: back off, then the same offer with the same token.

    repeated: the wing or its SDK has asked again and again already, so whoever called has nothing to gain from that.
    scope: whose patience it costs, the region's or, where the API that throttles is one for all regions, the cloud's.
    """

    def __init__(
        self,
        reason: str,
        retry_after_s: float = 5.0,
        *,
        repeated: bool = False,
        scope: Literal["region", "cloud"] = "region",
    ) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.repeated = repeated
        self.scope = scope


@contextmanager
def of_all_regions() -> Iterator[None]:
    """Around calls of an API that all regions share: whoever is throttled by it need not try the next region."""
    try:
        yield
    except Throttled as refused:
        refused.scope = "cloud"
        raise


class Misconfigured(LaunchRefused):
    """Credentials, image, network or policy are wrong: no other offer would do better."""

    reach = "cloud"
    lasting = True


class Unfit(LaunchRefused):
    """This instance type cannot be launched as we launch it (disk, image, generation): skip the type, everywhere."""

    reach = "everywhere"
    lasting = True


class Unclear(LaunchRefused):
    """The cloud's code is none that we know: skip the pool. The walk is bounded, so it ends."""


class MarketUnavailable(Exception):
    """A cloud's market could not be read at all; the message says why."""
