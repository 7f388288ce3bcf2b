"""Names of a job, its attempts and their machines, as both sides build and read them.

An attempt has n machines (nodes), n = 1 as a rule. Node 0 leads, and its names are the attempt's own; the names of
another node end in its index. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

MOST_NODES = 1000  #: of one attempt; Compute Engine creates at most so many in one request (instances.bulkInsert)

_NODE = re.compile(r"-\d+-n([1-9]\d{0,2})(?=-|$)")
_NODE_FILE = re.compile(r"node-(\d+)\.(.+)", re.DOTALL)
T = TypeVar("T")


def job_key_of(flow_run_id: UUID) -> str:
    """The job key of a parent flow run: DNS-safe, 15 characters, the same for a restarted run.

    Hashed, since the first digits of a time-ordered UUID are equal for runs of the same moment.
    """
    return f"sw-{sha256(flow_run_id.bytes).hexdigest()[:12]}"


def attempt_name(job_key: str, attempt: int) -> str:
    """The name of an attempt's work queue and Prefect worker, and of its node 0."""
    return f"{job_key}-{attempt}"


def attempt_dir(attempt: int) -> str:
    """The attempt's folder on the remote, which is node 0's too."""
    return f"attempts/{attempt}"


def node_name(job_key: str, attempt: int, node: int) -> str:
    """The name of one machine: "sw-0123456789ab-1" for node 0, "sw-0123456789ab-1-n2" for node 2."""
    return attempt_name(job_key, attempt) + (f"-n{node}" if node else "")


def node_of(name: str) -> int:
    """The node index in a name that begins with `node_name`; 0 if it has none."""
    found = _NODE.search(name)
    return int(found[1]) if found else 0


def node_dir(attempt: int, node: int) -> str:
    """A node's folder on the remote: "attempts/1" for node 0, "attempts/1/nodes/2" for node 2."""
    return f"{attempt_dir(attempt)}/nodes/{node}" if node else attempt_dir(attempt)


def node_file(name: str, node: int) -> str:
    """Under which name the secret of an attempt holds a file that only this node gets."""
    return f"node-{node}.{name}" if node else name


def node_files(files: Mapping[str, T], node: int) -> dict[str, T]:
    """The files of one node out of the attempt's secret, by the names that they have on the machine.

    A node gets its own ("node-2.api.json" is node 2's api.json), and the unmarked ones in place of which it has none.
    node/boot/clouds/common.py does the same on the machine.
    """
    marked = {name: found for name in files if (found := _NODE_FILE.fullmatch(name))}
    shared = {name: content for name, content in files.items() if name not in marked}
    return shared | {found[2]: files[name] for name, found in marked.items() if int(found[1]) == node}
