"""Exceptions for refused launches. Callers decide by type and fields, never by the text of a message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from spotwave.node.storage.secret_patterns import without_secrets

#: What offers that are refused together share: 'pool' is cloud, type and zone; 'type' is the type in its region;
#: 'everywhere' is the type in all regions.
Reach = Literal["pool", "zone", "type", "everywhere", "region", "cloud"]


class LaunchRefused(Exception):
    """A cloud refused a launch. The subclass determines what follows; only `Misconfigured` ends the job.

    `reason`: the message of the cloud's SDK. It may quote a signed address or a token, so secrets are removed.
    """

    reach: Reach = "pool"  #: which other offers would be refused too (blocks.refusal_scope)
    quota: str = ""  #: the cloud's name of the exhausted quota; then only offers that use this quota are skipped
    left: float | None = None  #: upper bound of the remaining quota; None if unknown
    lasting: bool = False  #: waiting does not help

    def __init__(self, reason: str) -> None:
        self.reason = without_secrets(reason)
        super().__init__(self.reason)


class Capacity(LaunchRefused):
    """No capacity for this type in this zone at the moment: skip the pool."""


class Quota(LaunchRefused):
    """The quota is used up, or the account has nothing to launch into there (then it is `lasting`): skip what `reach`
    covers. If `quota` is set, skip offers that need as much of it or more."""

    def __init__(
        self, reason: str, reach: Reach, quota: str = "", left: float | None = None, lasting: bool = False
    ) -> None:
        super().__init__(reason)
        self.reach = reach
        self.quota = quota
        self.left = left
        self.lasting = lasting


class Closed(LaunchRefused):
    """A policy of the account's administrators forbids the launch: skip what `reach` covers, for good."""

    lasting = True

    def __init__(self, reason: str, reach: Reach = "region") -> None:
        super().__init__(reason)
        self.reach = reach


class Throttled(LaunchRefused):
    """Too many requests, or no answer: back off, then retry the same offer with the same token.

    repeated: the provider or its SDK has already retried, so the caller should not.
    scope: whether the limit applies to the region, or to the whole cloud if the API is shared by all regions.
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
    """Mark a `Throttled` from an API that all regions share, so that the caller does not try the next region."""
    try:
        yield
    except Throttled as refused:
        refused.scope = "cloud"
        raise


class Misconfigured(LaunchRefused):
    """Wrong credentials, image, network or policy: no other offer would do better."""

    reach = "cloud"
    lasting = True


class Unfit(LaunchRefused):
    """This instance type does not work with Spotwave's launch settings (disk, image, generation): skip the type,
    everywhere."""

    reach = "everywhere"
    lasting = True


class Unclear(LaunchRefused):
    """Unknown error code of the cloud: skip the pool. The number of offers tried is limited, so this ends."""


class MarketUnavailable(Exception):
    """The market of a cloud could not be read at all; the message says why."""
