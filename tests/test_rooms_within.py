"""Allowed imports between the subfolders of a top-level folder, checked in the source code; and no import cycles."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.import_graph import cycle_in, graph_of, sources_of

ROOT = Path(__file__).parent.parent
FOLDERS = ("flows", "tasks", "blocks", "node", "deployments")


@functools.cache
def graph() -> dict[str, set[str]]:
    return graph_of(sources_of(ROOT, FOLDERS))


def subfolders_of(folder: str) -> list[str]:
    return sorted(f"{folder.replace('/', '.')}.{path.parent.name}" for path in (ROOT / folder).glob("*/__init__.py"))


CLOUDS = subfolders_of("blocks")
KINDS = subfolders_of("node/jobs")
#: For each subfolder the others of its top-level folder that it may import; a folder's name means its direct files.
WITHIN: dict[str, set[str]] = {
    "flows": {"flows.loop"},
    "flows.loop": set(),
    "flows.housekeeping": {"flows.loop"},
    "flows.queue": set(),
    "tasks": set(),
    "tasks.market": {"tasks"},
    "tasks.cost": {"tasks", "tasks.market"},
    "tasks.results": {"tasks", "tasks.cost"},
    "tasks.machine": {"tasks", "tasks.cost", "tasks.market"},
    "tasks.drill": {"tasks", "tasks.cost", "tasks.machine", "tasks.market"},
    "blocks": set(),  # clouds' subfolders are imported by their names in blocks/registry.py
    **{cloud: {"blocks"} for cloud in CLOUDS},
    "node": {"node.untrusted"},
    "node.untrusted": set(),
    "node.boot": set(),
    "node.storage": {"node", "node.untrusted"},
    "node.runtime": {"node", "node.storage", "node.untrusted"},
    "node.agent": {"node", "node.runtime", "node.storage", "node.untrusted"},
    "node.jobs": set(),
    **{kind: {"node", "node.runtime", "node.storage", "node.untrusted"} for kind in KINDS},
}
#: Exceptions to the rule, with reasons.
EXCEPT = {
    ("tasks.check", "tasks.results.continue_from"),  # the step that checks the whole job before all others
    ("flows.loop.stories", "flows"),  # the folder, in which it looks for stories
}
#: Modules outside `blocks/` that may import a cloud: `up` saves default blocks, `down` ends local machines.
MAY_IMPORT_A_CLOUD = {"deployments.defaults", "deployments.documents", "deployments.down"}


def subfolder_of(module: str) -> str:
    """Return the innermost folder in `WITHIN` that contains the module."""
    return max((subfolder for subfolder in WITHIN if f"{module}.".startswith(f"{subfolder}.")), key=len, default="")


def imports(graph: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
    return ((module, one) for module, found in graph.items() for one in sorted(found))


def forbidden_imports(graph: dict[str, set[str]]) -> list[str]:
    wrong = []
    for module, one in imports(graph):
        here, there = subfolder_of(module), subfolder_of(one)
        if here and here.partition(".")[0] == there.partition(".")[0] and (module, one) not in EXCEPT:
            own = here == there and here not in ("flows", "node.jobs")
            if not own and there not in WITHIN[here] and not _is_own_file(module, one):
                wrong.append(f"{module} imports {one}")
    return wrong


def _is_own_file(module: str, one: str) -> bool:
    """Return whether a module belongs to a story, as flows/shci_result.py belongs to flows/shci.py."""
    return subfolder_of(one) == "flows" and one.startswith(f"{module}_")


def test_every_subfolder_has_a_rule() -> None:
    subfolders = {
        subfolder for folder in ("flows", "tasks", "blocks", "node", "node/jobs") for subfolder in subfolders_of(folder)
    }
    assert subfolders == {subfolder for subfolder in WITHIN if "." in subfolder}


def test_subfolder_imports_only_allowed_subfolders() -> None:
    assert forbidden_imports(graph()) == []


@pytest.mark.parametrize(
    ("module", "one"),
    [
        ("flows.shci", "flows.drill"),
        ("flows.loop.run_job", "flows.shci"),
        ("flows.housekeeping.reap", "flows.shci"),
        ("tasks.market.rank", "tasks.machine.walk_offers"),
        ("tasks.records", "tasks.cost.quote"),
        ("blocks.registry", "blocks.aws.block"),
        ("blocks.aws.block", "blocks.gcp.block"),
        ("node.runtime.run", "node.jobs.shci.flow"),
        ("node.storage.remote", "node.agent.agent"),
        ("node.jobs.drill.flow", "node.jobs.shci.flow"),
        ("node.untrusted.plain_text", "node.contract"),
    ],
)
def test_forbidden_import_is_detected(module: str, one: str) -> None:
    assert forbidden_imports({module: {one}}) == [f"{module} imports {one}"]


def test_clouds_are_not_imported_directly() -> None:
    wrong = [
        f"{module} imports {one}"
        for module, one in imports(graph())
        if subfolder_of(one) in CLOUDS
        and subfolder_of(module) != subfolder_of(one)
        and module not in MAY_IMPORT_A_CLOUD
    ]
    assert not wrong


def test_job_kind_is_imported_only_by_its_story() -> None:
    wrong = []
    for module, one in imports(graph()):
        kind = one.removeprefix("node.jobs.").partition(".")[0]
        own = (f"flows.{kind}", f"node.jobs.{kind}")
        if one.startswith("node.jobs.") and not module.startswith(own):
            wrong.append(f"{module} imports {one}")
    assert not wrong


def test_there_is_no_import_cycle() -> None:
    assert cycle_in(graph()) == []


@pytest.mark.parametrize(
    "back",
    [
        "from spotwave.tasks.first import it",
        "def it():\n    import spotwave.tasks.first",
        "if TYPE_CHECKING:\n    from spotwave.tasks import first",
    ],
)
def test_import_cycle_is_detected(back: str) -> None:
    code = {"tasks.first": "from spotwave.tasks.second import it", "tasks.second": "import spotwave.tasks.third"}
    assert cycle_in(graph_of(code | {"tasks.third": "import json"})) == []
    cycle = cycle_in(graph_of(code | {"tasks.third": back}))
    assert set(cycle) == {"tasks.first", "tasks.second", "tasks.third"}
