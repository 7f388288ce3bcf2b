"""Machines of the local cloud: a folder each, and a process tree whose processes carry the machine's mark.

::

    <folder>/<job key>-<attempt>-<instance type>/     created atomically: the idempotency token
        machine.json   the tags        root.json     the first process: {"pid", "started"}
        secrets/       0700            notice.json   "metadata service": the announced interruption
        work/          the machine's   ended.json    who ended it: {"by": "cloud" | "host" | "us" | "itself",
                                                 "asked", "at"}
        console.log    output of all its processes   bootstrap.sh   the user data
        last-act       one byte of the launcher's, and one that the machine writes as its last act
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from spotwave.blocks.all_or_none import check_count
from spotwave.blocks.errors import Capacity, Misconfigured
from spotwave.blocks.local.capacity import LocalCapacity
from spotwave.blocks.local.first_process import ENV_TAGS, Limits, environment_of, reap, start
from spotwave.blocks.local.locks import counting, is_locked, locked
from spotwave.blocks.local.machine_ends import note, noted, own_end, taken
from spotwave.blocks.local.machine_notes import (
    ENDED_FILE,
    NOTICE_FILE,
    ROOT_FILE,
    is_name,
    machine_of,
    root_of,
)
from spotwave.blocks.local.processes import (
    environments,
    is_alive,
    kill_marked,
    marked,
    number_of,
    number_on,
)
from spotwave.blocks.models import LaunchBrief, Machine, MachineState, Offer
from spotwave.blocks.rclone import rclone_binary, write_secrets
from spotwave.blocks.user_data import render
from spotwave.node.contract import (
    ENV_MACHINE,
    ENV_WORK,
    MACHINE_FILE,
    SHUTDOWN,
    write_text,
)
from spotwave.node.untrusted.own_files import remove_tree
from spotwave.node.untrusted.plain_text import plain
from spotwave.node.untrusted.strict_json import read_file


class Machines:
    """The machines in a folder; `template` replaces node/boot/bootstrap.sh. room: their total capacity; None:
    unlimited."""

    def __init__(self, folder: Path, template: str | None = None, room: LocalCapacity | None = None) -> None:
        self.folder = folder
        self._template = template
        self._room = room

    def place(self, machine: Machine) -> Path:
        """Return the machine's folder. Raises ValueError for an id that is a path: its target would be deleted."""
        if not is_name(machine.id):
            raise ValueError(f"{plain(machine.id, 60)!r} is not a valid machine id")
        return self.folder / machine.id

    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        """Start the attempt's machines, or return those that were started for this job, attempt and offer.

        Safe to interrupt at any line: if the launcher is killed, the next launch completes the folder.
        Raises Capacity if the running machines leave too little, Misconfigured; then none of these machines runs.
        """
        check_count(brief, count)
        bash = shutil.which("bash")
        if bash is None:
            raise Misconfigured("local: bash is not installed on this computer")
        briefs = [brief.of_node(node) for node in range(count)]
        places = [self.folder / f"{one.brief.name}-{offer.instance_type}" for one in briefs]
        try:
            rclone = rclone_binary()
            scripts = [render(one.brief, settings={}, template=self._template) for one in briefs]
            self.folder.mkdir(parents=True, exist_ok=True)
            with counting(self.folder):
                if (lacking := self._lacking(places, offer)) is not None:
                    raise Capacity(lacking)
                try:
                    return [
                        self._launched(place, offer, one, script, bash, rclone)
                        for place, one, script in zip(places, briefs, scripts, strict=True)
                    ]
                except OSError:
                    if count > 1:  # of a machine alone the next launch makes what is missing
                        self._withdraw(places)
                    raise
        except (OSError, ValueError) as error:
            raise Misconfigured(f"local: {error}") from error

    def _withdraw(self, places: list[Path]) -> None:
        """End what a failed launch has started, and remove the folders: one that stays would count as launched."""
        for place in places:
            kill_marked(self._mark(place.name))
            reap()
            remove_tree(place)

    def _lacking(self, places: list[Path], offer: Offer) -> str | None:
        """Return why there is no room for them; None if there is, or if they were started before."""
        new = [place for place in places if not (place / ROOT_FILE).exists()]
        if self._room is None or not new:
            return None
        living = self.find()
        ids = {one.id for one in living}
        count = sum(place.name not in ids for place in new)
        return self._room.lacks(offer, living, count) if count else None

    def _launched(self, place: Path, offer: Offer, brief: LaunchBrief, script: str, bash: str, rclone: str) -> Machine:
        place.mkdir(exist_ok=True)
        with locked(place):
            return self._started(place, offer, brief, script, bash, rclone)

    def _started(self, place: Path, offer: Offer, brief: LaunchBrief, script: str, bash: str, rclone: str) -> Machine:
        machine = _tags(place) or _new(place, offer, brief)
        if (place / ROOT_FILE).exists() or marked(self._mark(machine.id)):
            return machine  # started before, perhaps by a launcher that was killed right after
        write_secrets(place / "secrets", brief.node_secrets)
        write_text(place / "bootstrap.sh", script)
        environment = {**environment_of(place, machine, rclone), **self._mark(machine.id)}
        for folder in (environment["HOME"], environment[ENV_WORK], environment["TMPDIR"]):
            Path(folder).mkdir(exist_ok=True)
        start(place, bash, environment, Limits.of(number_of(self._mark(machine.id)), offer))
        return machine

    def find(self, job_key: str | None = None) -> list[Machine]:
        """Return the machines with a running process, found by the tags in its environment; the folder may be gone.

        The environment cannot be read during an exec; then the folder is used.
        """
        found: dict[str, Machine] = {}
        for process, environment in environments():
            id_ = environment.get(ENV_MACHINE, "")
            if not id_ and (number := number_on(process)) is not None:  # the process has cleared its environment
                if (machine := self._numbered(number)) is not None:
                    found[machine.id] = machine
                continue
            if id_ in found or not self._mark(id_).items() <= environment.items():
                continue
            if (machine := machine_of(environment.get(ENV_TAGS, ""), id_)) is not None:  # else not a machine
                found[id_] = machine
        for root in self.folder.glob(f"*/{ROOT_FILE}"):
            if (root.parent / ENDED_FILE).exists():  # fast path: true for most of 10,000 folders
                continue
            machine = _tags(root.parent)
            if machine is not None and machine.id not in found and self._root_alive(machine):
                found[machine.id] = machine
        machines = [machine for machine in found.values() if job_key in (None, machine.job_key)]
        return sorted(machines, key=lambda machine: (machine.job_key, machine.attempt, machine.node))

    def state(self, machine: Machine) -> MachineState:
        """Return RUNNING while the first process runs, as clouds do even during a notice; then by who ended it."""
        place = self.place(machine)
        alive, by = self._root_alive(machine), noted(place).get("by")  # in this order, since it may end in between
        if alive:
            return MachineState.STOPPING if by else MachineState.RUNNING
        self._note_end(machine)
        if by != "us" and (why := taken(place, by)) is not None:
            return why
        if by is None and not (place / ROOT_FILE).exists() and is_locked(place):
            return MachineState.PENDING
        return MachineState.GONE

    def terminate(self, machine: Machine) -> None:
        """Power off, delete secrets and disk; logs and tags stay. Raises StillRunning if a process does not end."""
        self._power_off(machine, "us")
        place = self.place(machine)
        # The disk of a rented machine is deleted with it; here hundreds of MB of integrals would accumulate.
        for folder in (place / "home", place / "tmp", *(path for path in place.glob("work/*") if path.is_dir())):
            remove_tree(folder)  # whatever permissions a program has set in it

    def billed_until(self, machine: Machine) -> datetime | None:
        """Return when the machine's last process had ended; None while one runs, or if its folder is gone.

        A machine that ended itself has recorded the time (node/boot/bootstrap.sh). For one that was killed from
        outside, it is the time at which that was observed.
        """
        self._note_end(machine)
        at = noted(self.place(machine)).get("at")
        if at is None or self._root_alive(machine):
            return None
        return max(machine.launched_at, datetime.fromtimestamp(min(at, time.time()), UTC))

    def interrupt(self, machine: Machine, notice_s: float | None) -> None:
        """Interrupt the machine `notice_s` seconds from now, or at once without notice (None); returns when done.

        Raises StillRunning if a process does not end.
        """
        self._take(machine, notice_s, "terminate", "cloud")

    def shut_down(self, machine: Machine, notice_s: float) -> None:
        """Stop the machine because its host shuts down: like `interrupt`, but it does not count as an interruption.

        Raises StillRunning if a process does not end.
        """
        self._take(machine, notice_s, SHUTDOWN, "host")

    def _take(self, machine: Machine, notice_s: float | None, action: str, by: str) -> None:
        if notice_s is not None:
            notice = {"action": action, "time": time.time() + notice_s}
            write_text(self.place(machine) / NOTICE_FILE, json.dumps(notice))
            deadline = time.monotonic() + notice_s
            while self._root_alive(machine) and (left := deadline - time.monotonic()) > 0:
                time.sleep(min(0.1, left))  # it may not be a child of this process, so it cannot be waited for
        self._power_off(machine, by)

    def _power_off(self, machine: Machine, by: str) -> None:
        place = self.place(machine)
        if place.exists():
            with suppress(OSError):  # a full disk must not prevent the power off
                note(place, {"by": by, "asked": noted(place).get("asked", time.time())})
        gone = kill_marked(self._mark(machine.id))
        reap()
        if place.exists() and (gone is not None or "at" not in noted(place)):
            with suppress(OSError):  # then the next look records the time, as for one that ended itself
                note(place, {"by": by, "at": gone or own_end(place)})
        shutil.rmtree(place / "secrets", ignore_errors=True)

    def _note_end(self, machine: Machine) -> None:
        """Record the end of a machine that ended without `terminate`, or whose terminating process was killed before
        it could do so. Done once, and only when none of its processes runs any more."""
        place = self.place(machine)
        told = noted(place)
        if "at" in told or not (place / ROOT_FILE).exists() or self._root_alive(machine):
            return
        if marked(self._mark(machine.id)):
            return  # `terminate` ends processes that outlive the first one
        with suppress(OSError):  # disk full: retried at the next look
            note(place, {"by": told.get("by", "itself"), "at": own_end(place)})

    def _mark(self, id_: str) -> dict[str, str]:
        """Return the variables in all processes of a machine: two homes on one host may have machines of one name."""
        return {ENV_MACHINE: id_, ENV_WORK: str(self.folder / id_ / "work")}

    def _numbered(self, number: int) -> Machine | None:
        """Return the machine whose processes have this number."""
        for root in self.folder.glob(f"*/{ROOT_FILE}"):
            if number_of(self._mark(root.parent.name)) == number:
                return _tags(root.parent)
        return None

    def _root_alive(self, machine: Machine) -> bool:
        reap()
        try:
            pid, started = root_of(self.place(machine) / ROOT_FILE)
        except (FileNotFoundError, ValueError):
            # Its launcher was killed early, its folder is gone, or the file is invalid.
            return bool(marked(self._mark(machine.id)))
        return is_alive(pid, started, self._mark(machine.id))


def _new(place: Path, offer: Offer, brief: LaunchBrief) -> Machine:
    machine = Machine(
        cloud=offer.cloud,
        id=place.name,
        region=offer.region,
        zone=offer.zone,
        offer=offer,
        job_key=brief.brief.job_key,
        attempt=brief.brief.attempt,
        node=brief.brief.node,
        launched_at=datetime.now(UTC),
        deadline=brief.brief.deadline,
    )
    write_text(place / MACHINE_FILE, machine.model_dump_json(indent=1))
    return machine


def _tags(place: Path) -> Machine | None:
    try:
        return machine_of(read_file(place / MACHINE_FILE), place.name)
    except (FileNotFoundError, ValueError):
        return None
