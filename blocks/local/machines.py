"""The local cloud's machines: a folder each, and a process tree that carries its mark.

::

    <folder>/<job key>-<attempt>-<instance type>/     made at once or not at all: the idempotency token
        machine.json   the tags        root.json     the first process: {"pid", "started"}
        secrets/       0700            notice.json   "metadata service": when it will be taken back
        work/          the machine's   ended.json    who ended it: {"by": "cloud" | "host" | "us" | "itself",
                                                 "asked", "at"}
        console.log    what its processes say        bootstrap.sh   the user data
        last-act       a byte of the launcher's, and one of the machine's as the last thing that it does
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
    """The machines in a folder; `template` replaces node/boot/bootstrap.sh. room: what they may hold together;
    None: any."""

    def __init__(self, folder: Path, template: str | None = None, room: LocalCapacity | None = None) -> None:
        self.folder = folder
        self._template = template
        self._room = room

    def place(self, machine: Machine) -> Path:
        """The machine's folder. Raises ValueError for an id that leads elsewhere: what is there would be removed."""
        if not is_name(machine.id):
            raise ValueError(f"{plain(machine.id, 60)!r} is no machine's id")
        return self.folder / machine.id

    def launch(self, offer: Offer, brief: LaunchBrief, count: int = 1) -> list[Machine]:
        """Start the attempt's machines, or return those that were started for this job, attempt and offer.

        Holds at any line: a launcher killed here leaves a folder, and the next one finishes its work.
        Raises Capacity where the machines that live leave too little, Misconfigured; then none of them runs.
        """
        check_count(brief, count)
        bash = shutil.which("bash")
        if bash is None:
            raise Misconfigured("local: there is no bash on this computer")
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
        """End what was started of a launch that failed; with its folder goes what would pass for a machine."""
        for place in places:
            kill_marked(self._mark(place.name))
            reap()
            remove_tree(place)

    def _lacking(self, places: list[Path], offer: Offer) -> str | None:
        """Why there is no room for them; None if there is, or if they were started before."""
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
            return machine  # started before, perhaps by a launcher that died right after
        write_secrets(place / "secrets", brief.node_secrets)
        write_text(place / "bootstrap.sh", script)
        environment = {**environment_of(place, machine, rclone), **self._mark(machine.id)}
        for folder in (environment["HOME"], environment[ENV_WORK], environment["TMPDIR"]):
            Path(folder).mkdir(exist_ok=True)
        start(place, bash, environment, Limits.of(number_of(self._mark(machine.id)), offer))
        return machine

    def find(self, job_key: str | None = None) -> list[Machine]:
        """Machines with a live process, told by the tags in its environment; the folder may be gone.

        A process has no environment to be read in the moment of an exec; then its folder tells.
        """
        found: dict[str, Machine] = {}
        for process, environment in environments():
            id_ = environment.get(ENV_MACHINE, "")
            if not id_ and (number := number_on(process)) is not None:  # it has cleared its environment
                if (machine := self._numbered(number)) is not None:
                    found[machine.id] = machine
                continue
            if id_ in found or not self._mark(id_).items() <= environment.items():
                continue
            if (machine := machine_of(environment.get(ENV_TAGS, ""), id_)) is not None:  # else not started by us
                found[id_] = machine
        for root in self.folder.glob(f"*/{ROOT_FILE}"):
            if (root.parent / ENDED_FILE).exists():  # of 10,000 folders, most
                continue
            machine = _tags(root.parent)
            if machine is not None and machine.id not in found and self._root_alive(machine):
                found[machine.id] = machine
        machines = [machine for machine in found.values() if job_key in (None, machine.job_key)]
        return sorted(machines, key=lambda machine: (machine.job_key, machine.attempt, machine.node))

    def state(self, machine: Machine) -> MachineState:
        """Running while the first process lives, during a notice too, as clouds do; afterwards who ended it."""
        place = self.place(machine)
        alive, by = self._root_alive(machine), noted(place).get("by")  # in this order: it may end just now
        if alive:
            return MachineState.STOPPING if by else MachineState.RUNNING
        self._note_end(machine)
        if by != "us" and (why := taken(place, by)) is not None:
            return why
        if by is None and not (place / ROOT_FILE).exists() and is_locked(place):
            return MachineState.PENDING
        return MachineState.GONE

    def terminate(self, machine: Machine) -> None:
        """Power off, remove secrets and disk; logs and tags stay. Raises StillRunning if a process does not end."""
        self._power_off(machine, "us")
        place = self.place(machine)
        # A rented machine's disk goes with it; here hundreds of MB of integrals would pile up.
        for folder in (place / "home", place / "tmp", *(path for path in place.glob("work/*") if path.is_dir())):
            remove_tree(folder)  # whatever a program has made of it

    def billed_until(self, machine: Machine) -> datetime | None:
        """When the last process of the machine was gone; None while one lives, or where its folder is gone.

        One that ended itself has dated that (node/boot/bootstrap.sh); one that was killed from outside ended
        when we saw it.
        """
        self._note_end(machine)
        at = noted(self.place(machine)).get("at")
        if at is None or self._root_alive(machine):
            return None
        return max(machine.launched_at, datetime.fromtimestamp(min(at, time.time()), UTC))

    def interrupt(self, machine: Machine, notice_s: float | None) -> None:
        """Take the machine back `notice_s` seconds from now, or at once without notice (None); returns when done.

        Raises StillRunning if a process does not end.
        """
        self._take(machine, notice_s, "terminate", "cloud")

    def shut_down(self, machine: Machine, notice_s: float) -> None:
        """Stop the machine with its host, for the sake of the host alone: as `interrupt`, but nobody has taken it back.

        Raises StillRunning if a process does not end.
        """
        self._take(machine, notice_s, SHUTDOWN, "host")

    def _take(self, machine: Machine, notice_s: float | None, action: str, by: str) -> None:
        if notice_s is not None:
            notice = {"action": action, "time": time.time() + notice_s}
            write_text(self.place(machine) / NOTICE_FILE, json.dumps(notice))
            deadline = time.monotonic() + notice_s
            while self._root_alive(machine) and (left := deadline - time.monotonic()) > 0:
                time.sleep(min(0.1, left))  # the root may be nobody's child here: there is nothing to wait on
        self._power_off(machine, by)

    def _power_off(self, machine: Machine, by: str) -> None:
        place = self.place(machine)
        if place.exists():
            with suppress(OSError):  # a full disk must keep no machine
                note(place, {"by": by, "asked": noted(place).get("asked", time.time())})
        gone = kill_marked(self._mark(machine.id))
        reap()
        if place.exists() and (gone is not None or "at" not in noted(place)):
            with suppress(OSError):  # then it is dated when it is looked at, as one that ended itself
                note(place, {"by": by, "at": gone or own_end(place)})
        shutil.rmtree(place / "secrets", ignore_errors=True)

    def _note_end(self, machine: Machine) -> None:
        """Of a machine that has ended without us, or whose terminator was killed before it could tell: once, and when
        nothing of it runs any more."""
        place = self.place(machine)
        told = noted(place)
        if "at" in told or not (place / ROOT_FILE).exists() or self._root_alive(machine):
            return
        if marked(self._mark(machine.id)):
            return  # what outlives the first process is ended by `terminate`
        with suppress(OSError):  # a full disk: at the next look
            note(place, {"by": told.get("by", "itself"), "at": own_end(place)})

    def _mark(self, id_: str) -> dict[str, str]:
        """What every process of a machine carries: two homes on one host may hold machines of the same name."""
        return {ENV_MACHINE: id_, ENV_WORK: str(self.folder / id_ / "work")}

    def _numbered(self, number: int) -> Machine | None:
        """Whose processes carry this number."""
        for root in self.folder.glob(f"*/{ROOT_FILE}"):
            if number_of(self._mark(root.parent.name)) == number:
                return _tags(root.parent)
        return None

    def _root_alive(self, machine: Machine) -> bool:
        reap()
        try:
            pid, started = root_of(self.place(machine) / ROOT_FILE)
        except (FileNotFoundError, ValueError):
            # Its launcher died early, its folder is gone, or what is there is not what we wrote.
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
