"""What the controller and the machine agree on; with `node.storage` and `node.untrusted`, all that both import.

Standard library only: the agent must start in a blink and live in a few MiB.
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

# The remote's layout, relative to <remote>/<job key>/ (docs/contracts.md draws it).
JOB_FILE = "job.json"
CODE_DIR = "code"
CHECKPOINT_DIR = "checkpoint"
LATEST_FILE = "checkpoint/LATEST"
OUTPUT_DIR = "output"
RESULT_FILE = "output/result.json"
MOST_STEPS = 100  # whose seconds a result may tell
MOST_SECONDS = 1e11  # of one of them: thousands of years
RESULT_BYTES = 64 << 20  # at most: a molecule of thousands of atoms has some hundred thousand
MANIFEST_FILE = "manifest.json"

# The machine's own folder: the parts of the remote it has restored or will send, and five notes
# by which agent and node run speak to each other.
ENGINE_PID_FILE = "engine.pid"  # node run -> agent: whom to signal
STOP_FILE = "stop.json"  # agent -> node run: why the work must end (survives a missed signal)
PROGRESS_FILE = "progress.json"  # node run -> agent: what goes into the lease
PUSHED_FILE = "pushed"  # agent -> node run: the newest checkpoint that is safe on the remote
OUTCOME_FILE = "outcome.json"  # node run -> agent -> remote: how it ended
BRIEF_FILE = "brief.json"
MACHINE_FILE = "machine.json"
HEARTBEAT_FILE = "heartbeat.json"
AGENT_LOG = "agent.log"
ENGINE_LOG = "engine.log"
LEFT_OUT_FILE = "left_out.txt"  # in attempts/<k>/ too: what of the output could not be sent, and why

# Where no Prefect API is within the machine's reach (Brief.detached), both sides write letters: in attempts/<k>/.
RUN_FILE = "run.json"  # controller -> machine: a Submission
FENCE_FILE = "fence.json"  # controller -> machine: a Fence; also to one that reaches the API, if it is to save
RECORD_DIR = "record"  # machine -> controller: 000001.jsonl, ...: what the run would have told Prefect
RECORD_FILE = "record.jsonl"  # in the machine's own folder: all of it

MOST_RECORDS = 100_000  # parts of a record: a fortnight of beats

COUNT_FILE = "count.json"  # in the checkpoints of a drill: {"token", "seconds"}

SHUTDOWN = "shutdown"  # in a local machine's notice: nobody takes it back, its host is stopped and it with it

SAVE_S = 60.0  # kept free before a machine's deadline for its last copy

LEASE_KEY = "lease"  # where in the artifact's metadata the lease stands as JSON, in pieces: lease, lease-1, lease-2
PIECE_CHARS = 450  # Prefect cuts every value of an artifact's metadata at 500 characters

# Environment of every process on a machine.
ENV_WORK = "SPOTWAVE_WORK"  # the folder above
ENV_SECRETS = "SPOTWAVE_SECRETS"  # a folder, mode 0700: rclone.conf, api.json
ENV_REMOTE = "SPOTWAVE_REMOTE"  # Brief.remote, for the shell
ENV_ATTEMPT = "SPOTWAVE_ATTEMPT"
ENV_PYTHON = "SPOTWAVE_PYTHON"
ENV_RCLONE = "SPOTWAVE_RCLONE"
ENV_NOTICE = "SPOTWAVE_NOTICE"  # where the cloud's notice will appear
ENV_MACHINE = "SPOTWAVE_MACHINE"  # the machine's id; marks its processes
SECRET_RCLONE = "rclone.conf"
SECRET_API = "api.json"  # the PREFECT_* settings that reach the API


@dataclass(frozen=True)
class Brief(StrictModel):
    """All that a machine is told at its birth. No secrets: it stands in the user data."""

    job_key: str
    attempt: int
    remote: str  # the job's folder as rclone spells it, e.g. "drive:spotwave/sw-0123456789ab"
    lease_id: str  # the Prefect artifact that the agent renews; gone = fenced off
    vcpus: int
    memory_gib: float
    deadline: float  # when the machine must have ended, whatever happens
    sync_s: float = 300.0
    lease_s: float = 5.0
    notice_s: float = 120.0  # what the cloud promises between notice and loss
    boot_s: float = 600.0  # without a run by then the machine is forgotten and ends itself
    silence_s: float = 1800.0  # the API may be silent this long while nothing runs
    done_s: float = 120.0  # and this long when the work is done, for which nobody else waits
    builds: bool = False  # the program is built there: git and compilers are needed
    detached: bool = False  # no Prefect API within reach: report through the remote
    beat_s: float = 15.0  # then the lease is renewed so often, and at once when the phase changes
    nodes: int = 1  # how many machines the attempt has
    node: int = 0  # which of them this is; node 0 leads
    node_leases: tuple[str, ...] = ()  # lease_id of node 1, 2, ..., for machines that learn their index on their own

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
    """Where a machine stands; told in its lease."""

    BOOTING = "booting"  #: agent up, restoring, worker starting
    WORKING = "working"  #: the node run executes
    SAVING = "saving"  #: the node run has ended or must end; last copies on their way
    ENDED = "ended"  #: everything is on the remote; the machine is about to end itself


@dataclass(frozen=True)
class Progress(StrictModel):
    """One line about the running work, for people."""

    step: str = ""
    percent: float = 0.0
    note: str = ""

    RULES: ClassVar[Mapping[str, Rule]] = {"step": said(), "percent": number(0, 100), "note": said(TEXT_CHARS)}


@dataclass(frozen=True)
class RunResult(StrictModel):
    """What result.json holds whatever the kind of job, beside what is the kind's own; later jobs learn from it."""

    wall_seconds: Mapping[str, float]  # of each step, all attempts together
    answer: str = "completed"  # in one line, for people

    RULES: ClassVar[Mapping[str, Rule]] = {
        "wall_seconds": each(number(0.0, MOST_SECONDS), MOST_STEPS),
        "answer": said(),
    }

    @property
    def seconds(self) -> float:
        """Of computing, all steps together."""
        return sum(self.wall_seconds.values())


@dataclass(frozen=True)
class Submission(StrictModel):
    """What a detached machine is to run: all that a queued run would have told it."""

    entrypoint: str  # of the node flow: "node.jobs.shci.flow.shci_node"
    parameters: dict[str, Any]
    flow_run_id: str  # the attempt's run in the controller's Prefect; the record speaks of it

    RULES: ClassVar[Mapping[str, Rule]] = {
        "entrypoint": named(r"[\w.]{1,200}"),
        "parameters": table,
        "flow_run_id": named(r"[0-9a-f-]{36}"),
    }


@dataclass(frozen=True)
class Fence(StrictModel):
    """To a machine whose lease is gone: stop."""

    save_s: float = 0.0  # so long it may still save and say how it ended; 0: it must touch nothing more

    RULES: ClassVar[Mapping[str, Rule]] = {"save_s": number(0, 600)}


def record_part(number: int) -> str:
    """A part of the record, counted from 1, below the attempt's folder."""
    return f"{RECORD_DIR}/{number:06d}.jsonl"


@dataclass(frozen=True)
class Lease(StrictModel):
    """A machine's sign of life: `beat` counts up; whoever watches times the changes by his own clock."""

    beat: int
    phase: Phase
    progress: Progress = field(default_factory=Progress)
    generation: str | None = None
    outcome: Outcome | None = None
    records: int = 0  # parts of the record on the remote (detached machines)
    sent_bytes: int = 0  # copied to the remote so far

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
        """As it stands in the artifact."""
        text = json.dumps(asdict(self), separators=(",", ":"))
        pieces = [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)]
        return {f"{LEASE_KEY}-{number}" if number else LEASE_KEY: piece for number, piece in enumerate(pieces)}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any] | None) -> Lease | None:
        """None where no agent has spoken yet. Raises ValueError for anything but a whole lease."""
        found = dict(metadata or {})
        pieces = [found.get(LEASE_KEY) or ""]
        while (piece := found.get(f"{LEASE_KEY}-{len(pieces)}")) is not None:
            pieces.append(piece)
        if not all(isinstance(piece, str) for piece in pieces):
            raise ValueError("Lease: its pieces are no text")
        return cls.from_json("".join(pieces)) if pieces[0] else None

    @property
    def for_people(self) -> str:
        """As the UI shows it; Markdown."""
        line = f"**{self.phase}**, beat {self.beat}"
        if self.progress.step:
            line += f", {markdown(self.progress.step)} {self.progress.percent:.0f} %: {markdown(self.progress.note)}"
        if self.outcome:
            line += f"\n\n{self.outcome.ending}: {markdown(self.outcome.reason, TEXT_CHARS)}"
        return line
