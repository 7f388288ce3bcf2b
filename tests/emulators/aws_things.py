"""Resources other than EC2's instances: disks, interfaces and spot requests, in use or left behind."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from tests.emulators.aws_answers import NotAllowed
from tests.emulators.ledger import Ledger


@dataclass
class Thing:
    """A disk, an interface or a spot request, as in its Describe call."""

    kind: str
    region: str
    row: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)


class Things:
    """Mixin for classes with a ledger and a lock."""

    ledger: Ledger
    lock: threading.RLock

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.things: dict[str, Thing] = {}

    def drop(self, id_: str) -> None:
        thing = self.things.pop(id_)
        self.ledger.close(thing.kind, id_)

    def leave(self, kind: str, region: str, row: dict[str, Any], tags: dict[str, str]) -> str:
        """Create a resource left behind by an earlier machine or another user, and return its id."""
        names = {"disk": "VolumeId", "nic": "NetworkInterfaceId", "spot request": "SpotInstanceRequestId"}
        prefix = {"disk": "vol", "nic": "eni", "spot request": "sir"}[kind]
        id_ = f"{prefix}-{uuid4().hex[:17]}"
        with self.lock:
            self.things[id_] = Thing(kind, region, {names[kind]: id_, **row}, tags)
            self.ledger.open(kind, id_)
        return id_

    def of_kind(self, kind: str, region: str) -> list[Thing]:
        with self.lock:
            return [thing for thing in self.things.values() if (thing.kind, thing.region) == (kind, region)]

    def delete(self, kind: str, region: str, id_: str, missing: str) -> None:
        """Delete a resource. Raises NotAllowed if it is missing or in use."""
        with self.lock:
            thing = self.things.get(id_)
            if thing is None or (thing.kind, thing.region) != (kind, region):
                raise NotAllowed(missing, f"'{id_}' does not exist")
            if kind == "spot request":
                thing.row["State"] = "cancelled"
                self.ledger.close(kind, id_)
                return
            if "in-use" in thing.row.values():
                raise NotAllowed("VolumeInUse" if kind == "disk" else "InvalidParameterValue", f"{id_} is in use")
            self.drop(id_)
