"""Counts letters, and saves the count."""

from __future__ import annotations

from typing import Any

from spotwave.node.contract import write_text
from spotwave.node.runtime.run import node_job
from spotwave.node.runtime.workspace import Workspace


@node_job("toy-node")
def toy_node(workspace: Workspace, text: str) -> dict[str, Any]:
    workspace.tell("count", 50, text)
    kept = workspace.scratch / "letters"
    write_text(kept, str(len(text)))
    workspace.seal("count", {"letters": kept}, {})
    return {"letters": len(text), "wall_seconds": {"count": 0.1}, "answer": f"{len(text)} letters"}
