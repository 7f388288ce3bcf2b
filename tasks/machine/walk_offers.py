"""The walk down a ranking: try each offer until one is granted, within limits, and with retries per region.

Independent of Prefect, so that a walk can be tested against an emulated cloud without a server.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.errors import LaunchRefused, Misconfigured, Throttled
from spotwave.blocks.models import LaunchBrief, Machine, Offer
from spotwave.tasks.market.refusals import covers, refusal_of
from spotwave.tasks.records import Ranked, Refusal

#: Launches that are tried in one walk. Offers that an earlier refusal covers are skipped and not counted, so forty are
#: forty pools, types, classes or regions. The rest of the ranking is tried in the next round, where these come last.
MOST_TRIES = 40
MOST_ASKED = 5  #: launches in one walk in a region that throttles, with waits of 5, 10, 20 and 40 s between
LONGEST_WAIT_S = 60.0

IsActive = Callable[[], bool]  #: whether the job is still active; called before each launch (tasks.run_status)
BriefFor = Callable[[Offer], LaunchBrief | Refusal]  #: or why the offer must not be launched


class Suspended(Exception):
    """The job was suspended: no machine is launched."""


class Patience:
    """Retry limits in one walk: regions, or whole clouds, that throttled for too long are not tried again.

    The limit is per region, not per pool: an API that throttles one type throttles the next one too.
    """

    def __init__(self) -> None:
        self._asked: Counter[tuple[str, str]] = Counter()
        self._over: set[tuple[str, str]] = set()

    def is_over(self, offer: Offer) -> bool:
        return not self._over.isdisjoint({(offer.cloud, ""), (offer.cloud, offer.region)})

    def wait_s(self, offer: Offer, refused: Throttled) -> float | None:
        """Return the seconds until the offer may be retried with the same token; None: not in this walk."""
        place = (offer.cloud, "" if refused.scope == "cloud" else offer.region)
        self._asked[place] += 1
        if refused.repeated or self._asked[place] >= MOST_ASKED:
            self._over.add(place)
            return None
        return min(refused.retry_after_s * 2.0 ** (self._asked[place] - 1), LONGEST_WAIT_S)


@dataclass
class Walk:
    """One walk over the offers of these clouds (by kind)."""

    clouds: Mapping[str, Cloud]
    log: logging.Logger | logging.LoggerAdapter[Any]
    is_active: IsActive
    refusals: list[Refusal] = field(default_factory=list)  #: in order
    tries: int = 0
    patience: Patience = field(default_factory=Patience)

    def down(self, ranked: list[Ranked], brief_for: BriefFor) -> list[Machine]:
        """Return the machines of the first offer that a cloud grants, by node index; [] if none does.

        Raises Misconfigured (no other offer could succeed), Suspended, and whatever `is_active` raises.
        """
        for offer in (one.offer for one in ranked):
            if self.tries >= MOST_TRIES:
                break
            if self.patience.is_over(offer) or any(covers(refusal, offer) for refusal in self.refusals):
                continue
            brief = brief_for(offer)
            if isinstance(brief, Refusal):
                self.refusals.append(brief)
                continue
            self.tries += 1
            try:
                machines = launch(self.clouds[offer.cloud], offer, brief, self.patience, self.is_active)
            except LaunchRefused as refused:
                self.refusals.append(refusal_of(offer, refused))
                self.log.warning("%s refused, %s: %s", offer.label, self.refusals[-1].kind, refused.reason)
                if isinstance(refused, Misconfigured):
                    raise
                continue
            self.log.info("launched %s as %s", offer.label, ", ".join(machine.id for machine in machines))
            return machines
        return []


def launch(cloud: Cloud, offer: Offer, brief: LaunchBrief, patience: Patience, is_active: IsActive) -> list[Machine]:
    """Launch an offer; if the cloud throttles, retry with the same token within the region's limits.

    Raises a LaunchRefused, Suspended, and whatever `is_active` raises.
    """
    while True:
        if not is_active():
            raise Suspended
        try:
            return cloud.launch(offer, brief, brief.brief.nodes)
        except Throttled as refused:
            if (wait_s := patience.wait_s(offer, refused)) is None:
                raise
        time.sleep(wait_s)  # the cloud's retry-after, doubled each time
