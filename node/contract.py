"""Constants and data classes that the controller and the machine share.

Both sides import only this module, `node.storage` and `node.untrusted`. It uses the standard library alone, so that the
agent starts fast and needs only a few MiB of memory.
Times are Unix seconds, durations seconds, sizes bytes unless a name says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar

from spotwave.node.identity import MOST_NODES, node_dir, node_name
from spotwave.node.identity import attempt_dir as attempt_dir
from spotwave.node.identity import attempt_name as attempt_name
from spotwave.node.identity import job_key_of as job_key_of
from spotwave.node.outcome import GENERATION as GENERATION
from spotwave.node.outcome import Cause as Cause
from spotwave.node.outcome import Ending as Ending
from spotwave.node.outcome import Limit as Limit
from spotwave.node.outcome import Outcome as Outcome
from spotwave.node.untrusted.plain_text import TEXT_CHARS, markdown
from spotwave.node.untrusted.strict_model import (
    MOST_BYTES,
    Rule,
    StrictModel,
    each,
    exactly,
    listed,
    maybe,
    named,
    number,
    one_of,
    said,
    table,
    truth,
    whole,
)
from spotwave.node.untrusted.strict_model import write_text as write_text

MACHINES_POOL = "machines"
CONTROLLER_POOL = "controller"
JOBS_QUEUE = "jobs"  # of the controller's pool
HOUSEKEEPING_QUEUE = "housekeeping"

# The remote's layout, relative to <remote>/<job key>/ (docs/contracts.md draws it).
JOB_FILE = "job.json"
CODE_DIR = "code"
CHECKPOINT_DIR = "checkpoint"
LATEST_FILE = "checkpoint/LATEST"
OUTPUT_DIR = "output"
RESULT_FILE = "output/result.json"
MOST_STEPS = 100  # steps in a result's wall_seconds
MOST_SECONDS = 1e11  # wall time of one step: thousands of years
RESULT_BYTES = 64 << 20  # largest result.json; that of a molecule with thousands of atoms has about 100,000 bytes
MANIFEST_FILE = "manifest.json"

# The machine's work folder holds the parts of the remote that were restored or will be sent, and five files through
# which the agent and the node run communicate.
ENGINE_PID_FILE = "engine.pid"  # node run -> agent: the process to signal
STOP_FILE = "stop.json"  # agent -> node run: why the work must end (still readable if the signal is missed)
PROGRESS_FILE = "progress.json"  # node run -> agent: the progress shown in the lease
PUSHED_FILE = "pushed"  # agent -> node run: the newest checkpoint that is safe on the remote
OUTCOME_FILE = "outcome.json"  # node run -> agent -> remote: how the attempt ended
BRIEF_FILE = "brief.json"
MACHINE_FILE = "machine.json"
HEARTBEAT_FILE = "heartbeat.json"
AGENT_LOG = "agent.log"
ENGINE_LOG = "engine.log"
LEFT_OUT_FILE = "left_out.txt"  # also in attempts/<k>/: the output files that were not sent, with reasons

# If the machine cannot reach a Prefect API (Brief.detached), both sides exchange files in attempts/<k>/ on the remote.
RUN_FILE = "run.json"  # controller -> machine: a Submission
FENCE_FILE = "fence.json"  # controller -> machine: a Fence; machines that reach the API get one too if they may save
RECORD_DIR = (
    "record"  # machine -> controller: 000001.jsonl, ...: the logs and events that the run would send to Prefect
)
RECORD_FILE = "record.jsonl"  # in the machine's work folder: the whole record

MOST_RECORDS = 100_000  # parts of a record: about two weeks of heartbeats

COUNT_FILE = "count.json"  # in the checkpoints of a drill: {"token", "seconds"}

SHUTDOWN = "shutdown"  # action in a local machine's notice: its host shuts down (no cloud reclaims the machine)

SAVE_S = 60.0  # reserved before a machine's deadline for its last copy

LEASE_KEY = "lease"  # key of the lease's JSON in the artifact's metadata; split into lease, lease-1, lease-2, ...
PIECE_CHARS = 450  # Prefect truncates every value of an artifact's metadata at 500 characters

# Environment of every process on a machine.
ENV_WORK = "SPOTWAVE_WORK"  # the work folder
ENV_SECRETS = "SPOTWAVE_SECRETS"  # a folder, mode 0700: rclone.conf, api.json
ENV_REMOTE = "SPOTWAVE_REMOTE"  # Brief.remote, for the shell
ENV_ATTEMPT = "SPOTWAVE_ATTEMPT"
ENV_PYTHON = "SPOTWAVE_PYTHON"
ENV_RCLONE = "SPOTWAVE_RCLONE"
ENV_NOTICE = "SPOTWAVE_NOTICE"  # path of the local cloud's notice file
ENV_MACHINE = "SPOTWAVE_MACHINE"  # the machine's id; marks its processes
SECRET_RCLONE = "rclone.conf"
SECRET_API = "api.json"  # the PREFECT_* settings that reach the API


@dataclass(frozen=True)
class Brief(StrictModel):
    """Settings passed to a machine at launch. Holds no secrets, since it is part of the user data."""

    job_key: str
    attempt: int
    remote: str  # the job's folder in rclone syntax, e.g. "drive:spotwave/sw-0123456789ab"
    lease_id: str  # the Prefect artifact that the agent renews; if it is deleted, the attempt is fenced off
    vcpus: int
    memory_gib: float
    deadline: float  # time by which the machine must have ended in any case
    sync_s: float = 300.0
    lease_s: float = 5.0
    notice_s: float = 120.0  # time that the cloud promises between notice and loss
    boot_s: float = 600.0  # if no run has started by then, the machine ends itself (Ending.FORGOTTEN)
    silence_s: float = 1800.0  # longest time without an answer of the API while nothing runs
    done_s: float = 120.0  # longest time without an answer of the API once the work is done
    builds: bool = False  # the program is built on the machine: git and compilers are needed
    detached: bool = False  # no Prefect API within reach: report through the remote
    beat_s: float = 15.0  # lease period of a detached machine; a change of phase renews it at once
    nodes: int = 1  # how many machines the attempt has
    node: int = 0  # the index of this one; node 0 leads
    node_leases: tuple[str, ...] = ()  # lease_id of node 1, 2, ..., for machines that find out their index themselves

    RULES: ClassVar[Mapping[str, Rule]] = {
        **dict.fromkeys(("job_key", "remote", "lease_id"), exactly()),
        **dict.fromkeys(("attempt", "vcpus"), whole(1, 100_000)),
        **dict.fromkeys(
            ("memory_gib", "deadline", "sync_s", "lease_s", "notice_s", "boot_s", "silence_s", "done_s"), number()
        ),
        **dict.fromkeys(("builds", "detached"), truth),
        "beat_s": number(),
        "nodes": whole(1, MOST_NODES),
        "node": whole(0, MOST_NODES - 1),
        "node_leases": listed(exactly(), MOST_NODES),
    }

    @property
    def name(self) -> str:
        """The machine's name."""
        return node_name(self.job_key, self.attempt, self.node)

    @property
    def folder(self) -> str:
        """Where the machine writes its logs and messages, below the job's folder on the remote."""
        return node_dir(self.attempt, self.node)

    def of_node(self, node: int) -> Brief:
        """The brief of another machine of the attempt, out of node 0's. Raises IndexError if there is no such node."""
        if not 0 <= node < self.nodes:
            raise IndexError(f"node {node} of an attempt with {self.nodes}")
        return replace(self, node=node, lease_id=(self.lease_id, *self.node_leases)[node])


class Phase(StrEnum):
    """Phase of a machine, reported in its lease."""

    BOOTING = "booting"  #: the agent is up, restores the checkpoint and starts the worker
    WORKING = "working"  #: the node run executes
    SAVING = "saving"  #: the node run has ended or must end; the last files are being copied
    ENDED = "ended"  #: everything is on the remote; the machine is about to end itself


@dataclass(frozen=True)
class Progress(StrictModel):
    """Progress of the running work in one line, for display."""

    step: str = ""
    percent: float = 0.0
    note: str = ""

    RULES: ClassVar[Mapping[str, Rule]] = {"step": said(), "percent": number(0, 100), "note": said(TEXT_CHARS)}


@dataclass(frozen=True)
class RunResult(StrictModel):
    """Fields of result.json that all kinds of jobs share. Estimates for later jobs use them."""

    wall_seconds: Mapping[str, float]  # wall time of each step, summed over all attempts
    answer: str = "completed"  # one line, for display

    RULES: ClassVar[Mapping[str, Rule]] = {
        "wall_seconds": each(number(0.0, MOST_SECONDS), MOST_STEPS),
        "answer": said(),
    }

    @property
    def seconds(self) -> float:
        """Total wall time of all steps."""
        return sum(self.wall_seconds.values())


@dataclass(frozen=True)
class Submission(StrictModel):
    """The run that a detached machine is to execute; takes the place of a queued flow run."""

    entrypoint: str  # of the node flow: "node.jobs.shci.flow.shci_node"
    parameters: dict[str, Any]
    flow_run_id: str  # the attempt's run in the controller's Prefect; the record refers to it

    RULES: ClassVar[Mapping[str, Rule]] = {
        "entrypoint": named(r"[\w.]{1,200}"),
        "parameters": table,
        "flow_run_id": named(r"[0-9a-f-]{36}"),
    }


@dataclass(frozen=True)
class Fence(StrictModel):
    """Request to stop, for a machine whose lease was deleted."""

    save_s: float = 0.0  # seconds in which it may still save and write its outcome; 0: it must not write anything

    RULES: ClassVar[Mapping[str, Rule]] = {"save_s": number(0, 600)}


def record_part(number: int) -> str:
    """Return the path of a part of the record (numbered from 1), relative to the attempt's folder."""
    return f"{RECORD_DIR}/{number:06d}.jsonl"


@dataclass(frozen=True)
class Lease(StrictModel):
    """A machine's heartbeat. `beat` counts up; the controller times its changes by its own clock."""

    beat: int
    phase: Phase
    progress: Progress = field(default_factory=Progress)
    generation: str | None = None
    outcome: Outcome | None = None
    records: int = 0  # parts of the record on the remote (detached machines)
    sent_bytes: int = 0  # bytes copied to the remote so far

    RULES: ClassVar[Mapping[str, Rule]] = {
        "beat": whole(),
        "phase": one_of(Phase),
        "progress": Progress.from_dict,
        "generation": maybe(named(GENERATION)),
        "outcome": maybe(Outcome.from_dict),
        "records": whole(0, MOST_RECORDS),
        "sent_bytes": whole(0, MOST_BYTES),
    }

    def to_metadata(self) -> dict[str, str]:
        """Return the lease as metadata of the Prefect artifact."""
        text = json.dumps(asdict(self), separators=(",", ":"))
        pieces = [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)]
        return {f"{LEASE_KEY}-{number}" if number else LEASE_KEY: piece for number, piece in enumerate(pieces)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None) -> Lease | None:
        """Parse an artifact's metadata. Return None if no agent has written a lease yet.

        Raises ValueError for an incomplete or invalid lease.
        """
        found = dict(metadata or {})
        pieces = [found.get(LEASE_KEY) or ""]
        while (piece := found.get(f"{LEASE_KEY}-{len(pieces)}")) is not None:
            pieces.append(piece)
        if not all(isinstance(piece, str) for piece in pieces):
            raise ValueError("Lease: its pieces must be text")
        return cls.from_json("".join(pieces)) if pieces[0] else None

    @property
    def for_people(self) -> str:
        """Markdown text shown in the Prefect UI."""
        line = f"**{self.phase}**, beat {self.beat}"
        if self.progress.step:
            line += f", {markdown(self.progress.step)} {self.progress.percent:.0f} %: {markdown(self.progress.note)}"
        if self.outcome:
            line += f"\n\n{self.outcome.ending}: {markdown(self.outcome.reason, TEXT_CHARS)}"
        return line
