"""The walk down a ranking: each offer asked for until one is granted; bounded, and patient once a region.

Of Prefect it knows nothing, so that a walk can be watched at an emulated cloud without a server.
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

#: Launches that are tried in one walk. What a refusal covers is passed over and costs none, so forty are forty pools,
#: types, classes or regions; what is left of the ranking then is for the next round, where these come last.
MOST_TRIES = 40
MOST_ASKED = 5  #: times in one walk, of a region that throttles: with waits of 5, 10, 20 and 40 s between
LONGEST_WAIT_S = 60.0

Carried = Callable[[], bool]  #: whether the job is to go on; asked before each call of a launch (tasks.run_status)
BriefFor = Callable[[Offer], LaunchBrief | Refusal]  #: or why the offer is not to be launched


class Suspended(Exception):
    """Somebody has suspended the job: no machine is launched."""


class Patience:
    """Whom it is no use to ask again in this walk: regions, or whole clouds, that throttled for too long.

    It is the region's and not the pool's: a service that has no time for one type has none for the next.
    """

    def __init__(self) -> None:
        self._asked: Counter[tuple[str, str]] = Counter()
        self._over: set[tuple[str, str]] = set()

    def is_over(self, offer: Offer) -> bool:
        return not self._over.isdisjoint({(offer.cloud, ""), (offer.cloud, offer.region)})

    def wait_s(self, offer: Offer, refused: Throttled) -> float | None:
        """Seconds until the offer may be asked for again with the same token; None: not in this walk."""
        place = (offer.cloud, "" if refused.scope == "cloud" else offer.region)
        self._asked[place] += 1
        if refused.repeated or self._asked[place] >= MOST_ASKED:
            self._over.add(place)
            return None
        return min(refused.retry_after_s * 2.0 ** (self._asked[place] - 1), LONGEST_WAIT_S)


@dataclass
class Walk:
    """One walk over these clouds (by kind)."""

    clouds: Mapping[str, Cloud]
    log: logging.Logger | logging.LoggerAdapter[Any]
    carried: Carried
    refusals: list[Refusal] = field(default_factory=list)  #: as they came
    tries: int = 0
    patience: Patience = field(default_factory=Patience)

    def down(self, ranked: list[Ranked], brief_for: BriefFor) -> list[Machine]:
        """The machines of the first offer that a cloud grants, in the order of their node index; [] if none does.

        Raises Misconfigured: then no other offer would do better; Suspended, and whatever `carried` raises.
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
                machines = launch(self.clouds[offer.cloud], offer, brief, self.patience, self.carried)
            except LaunchRefused as refused:
                self.refusals.append(refusal_of(offer, refused))
                self.log.warning("%s refused, %s: %s", offer.label, self.refusals[-1].kind, refused.reason)
                if isinstance(refused, Misconfigured):
                    raise
                continue
            self.log.info("launched %s as %s", offer.label, ", ".join(machine.id for machine in machines))
            return machines
        return []


def launch(cloud: Cloud, offer: Offer, brief: LaunchBrief, patience: Patience, carried: Carried) -> list[Machine]:
    """Launch; where the cloud asks for time, again with the same token as long as the region's patience lasts.

    Raises a LaunchRefused, Suspended, and whatever `carried` raises.
    """
    while True:
        if not carried():
            raise Suspended
        try:
            return cloud.launch(offer, brief, brief.brief.nodes)
        except Throttled as refused:
            if (wait_s := patience.wait_s(offer, refused)) is None:
                raise
        time.sleep(wait_s)  # what the cloud asked for, and longer each time
