"""A case on the local cloud, whose machines are process trees on this computer."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from spotwave.blocks.access import PrefectAccess
from spotwave.blocks.local.block import LocalCloud
from spotwave.blocks.local.machine_notes import NOTICE_FILE
from spotwave.blocks.models import Machine
from tests.faults.exit_monitor import ExitMonitor
from tests.faults.testbed import Testbed
from tests.flows.billing import FLOOR_S, WITHIN
from tests.flows.kit import eventually, marked_processes

LOCAL_USD_H = {"local-1": 0.05, "local-2": 0.1}


class LocalTestbed(Testbed):
    kind = "local"

    def _build(self) -> None:
        self.machines = self.folder / "machines"
        self._cloud = LocalCloud(folder=str(self.machines), prices=LOCAL_USD_H)
        self.cloud = self._cloud
        self._api_relay, self._door = self._relay(self._api_port)
        self._exit_monitor = ExitMonitor(self.machines)
        self._open.callback(self._exit_monitor.close)

    def _access_block(self) -> PrefectAccess:
        return self._access.model_copy(update={"api_url": f"http://127.0.0.1:{self._door}/api"})

    def _remote_door(self) -> int:
        assert self.remote_port is not None
        self.remote_relay, door = self._relay(self.remote_port)
        return door

    def machine_ids(self, job_key: str) -> list[str]:
        return [machine.id for machine in self._machines(job_key)]

    def _machines(self, job_key: str) -> list[Machine]:
        """Return the machines from their folders, which are kept."""
        found = [
            Machine.model_validate_json(path.read_text()) for path in self.machines.glob(f"{job_key}-*/machine.json")
        ]
        return sorted(found, key=lambda machine: machine.attempt)

    def processes(self, machine_id: str) -> list[psutil.Process]:
        return marked_processes(machine_id)

    def work(self, machine_id: str) -> Path:
        return self.machines / machine_id / "work"

    def interrupt(self, machine_id: str, notice_s: float | None) -> None:
        """Interrupt in a separate process, since a real cloud does not wait either."""
        machine = (self.machines / machine_id / "machine.json").read_text()
        code = (
            "import sys; from pathlib import Path; from spotwave.blocks.models import Machine; "
            "from spotwave.blocks.local.machines import Machines; "
            "Machines(Path(sys.argv[1])).interrupt(Machine.model_validate_json(sys.argv[2]), "
            "None if sys.argv[3] == 'None' else float(sys.argv[3]))"
        )
        cloud = subprocess.Popen([sys.executable, "-c", code, str(self.machines), machine, str(notice_s)])
        self._open.callback(lambda: (cloud.kill(), cloud.wait()))
        if notice_s is not None:  # otherwise the job could end before the notice
            notice = self.machines / machine_id / NOTICE_FILE
            eventually("the machine has its notice", lambda: notice.exists() or cloud.poll() is not None, 60)

    def cut_api(self, machine_id: str) -> None:
        self._api_relay.sever(self._api_port)

    def cut_remote(self, machine_id: str) -> None:
        """Cut the remote for the controller too: both are on this computer."""
        assert self.remote_relay is not None
        assert self.remote_port is not None
        self.remote_relay.sever(self.remote_port)

    def away(self, gone: bool) -> None:
        raise NotImplementedError("the local cloud has no API")

    def mend(self) -> None:
        for relay in (self._api_relay, self.remote_relay):
            if relay is not None:
                relay.mend()

    def lives(self, job_key: str) -> list[tuple[float, float]]:
        """Return the machines' times as observed by the kernel (tests.faults.exit_monitor), not by the cloud."""
        return [
            (machine.launched_at.timestamp(), self._exit_monitor.end_of(machine.id) or time.time())
            for machine in self._machines(job_key)
        ]

    def left(self, job_key: str) -> list[str]:
        return [f"machine {machine.id}" for machine in self._cloud.find(job_key)] + [
            f"secrets of {path.parent.name}" for path in self.machines.glob(f"{job_key}-*/secrets")
        ]

    def wrong_receipt(self, receipt: dict[str, Any]) -> str | None:
        """Compare the receipt's hours with the observed ones; there is no billing here, and prices are the block's."""
        hours = sum(end - begun for begun, end in self.lives(receipt["job_key"])) / 3600
        charged = sum(attempt["bill"]["seconds"] for attempt in receipt["attempts"]) / 3600
        if abs(charged - hours) <= max(WITHIN * hours, FLOOR_S / 3600 * len(receipt["attempts"])):
            return None
        return f"receipt for {3600 * charged:.1f} s, machines ran {3600 * hours:.1f} s"

    def usd(self, job_key: str) -> float:
        prices = [machine.offer.spot_usd_h for machine in self._machines(job_key)]
        lives = self.lives(job_key)
        return sum(price * (end - begun) / 3600 for price, (begun, end) in zip(prices, lives, strict=True))
