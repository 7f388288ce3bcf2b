"""Rooms within a folder: which of them may import which, read off the code; and no circle anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.import_graph import circle_in, graph_of, sources_of

ROOT = Path(__file__).parent.parent
FOLDERS = ("flows", "tasks", "blocks", "node", "deployments")
GRAPH = graph_of(sources_of(ROOT, FOLDERS))


def rooms_in(folder: str) -> list[str]:
    return sorted(f"{folder.replace('/', '.')}.{path.parent.name}" for path in (ROOT / folder).glob("*/__init__.py"))


WINGS = rooms_in("blocks")
KINDS = rooms_in("node/jobs")
#: For each room the others of its folder that it may import; a folder stands for the files right in it.
WITHIN: dict[str, set[str]] = {
    "flows": {"flows.loop"},
    "flows.loop": set(),
    "flows.housekeeping": {"flows.loop"},
    "tasks": set(),
    "tasks.market": {"tasks"},
    "tasks.cost": {"tasks", "tasks.market"},
    "tasks.results": {"tasks", "tasks.cost"},
    "tasks.machine": {"tasks", "tasks.cost", "tasks.market"},
    "tasks.drill": {"tasks", "tasks.cost", "tasks.machine", "tasks.market"},
    "blocks": set(),  # wings are found by the names in blocks/registry.py
    **{wing: {"blocks"} for wing in WINGS},
    "node": {"node.untrusted"},
    "node.untrusted": set(),
    "node.boot": set(),
    "node.storage": {"node", "node.untrusted"},
    "node.runtime": {"node", "node.storage", "node.untrusted"},
    "node.agent": {"node", "node.runtime", "node.storage", "node.untrusted"},
    "node.jobs": set(),
    **{kind: {"node", "node.runtime", "node.storage", "node.untrusted"} for kind in KINDS},
}
#: Imports that go against the rule, each for its reason.
EXCEPT = {
    ("tasks.check", "tasks.results.continue_from"),  # the step that looks at a whole job, before all others
    ("flows.loop.stories", "flows"),  # the folder, in which it finds the stories
}
#: Outside of `blocks/`: what `up` saves by default is of these wings, and `down` ends what runs on this computer.
KNOW_A_WING = {"deployments.defaults", "deployments.documents", "deployments.down"}


def room_of(module: str) -> str:
    """The innermost of `WITHIN` that a module lies in."""
    return max((room for room in WITHIN if f"{module}.".startswith(f"{room}.")), key=len, default="")


def imports(graph: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
    return ((module, one) for module, found in graph.items() for one in sorted(found))


def against_the_rooms(graph: dict[str, set[str]]) -> list[str]:
    wrong = []
    for module, one in imports(graph):
        here, there = room_of(module), room_of(one)
        if here and here.partition(".")[0] == there.partition(".")[0] and (module, one) not in EXCEPT:
            own = here == there and here not in ("flows", "node.jobs")
            if not own and there not in WITHIN[here] and not _is_own_file(module, one):
                wrong.append(f"{module} imports {one}")
    return wrong


def _is_own_file(module: str, one: str) -> bool:
    """Of a story: flows/shci_result.py belongs to flows/shci.py."""
    return room_of(one) == "flows" and one.startswith(f"{module}_")


def test_every_room_has_its_rule() -> None:
    rooms = {room for folder in ("flows", "tasks", "blocks", "node", "node/jobs") for room in rooms_in(folder)}
    assert rooms == {room for room in WITHIN if "." in room}


def test_a_room_imports_only_what_it_may() -> None:
    assert against_the_rooms(GRAPH) == []


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
def test_an_import_across_rooms_is_found(module: str, one: str) -> None:
    assert against_the_rooms({module: {one}}) == [f"{module} imports {one}"]


def test_a_wing_is_known_by_its_name_alone() -> None:
    wrong = [
        f"{module} imports {one}"
        for module, one in imports(GRAPH)
        if room_of(one) in WINGS and room_of(module) != room_of(one) and module not in KNOW_A_WING
    ]
    assert not wrong


def test_a_kind_of_job_is_known_to_its_own_story_alone() -> None:
    wrong = []
    for module, one in imports(GRAPH):
        kind = one.removeprefix("node.jobs.").partition(".")[0]
        own = (f"flows.{kind}", f"node.jobs.{kind}")
        if one.startswith("node.jobs.") and not module.startswith(own):
            wrong.append(f"{module} imports {one}")
    assert not wrong


def test_there_is_no_import_circle() -> None:
    assert circle_in(GRAPH) == []


@pytest.mark.parametrize(
    "back",
    [
        "from spotwave.tasks.first import it",
        "def it():\n    import spotwave.tasks.first",
        "if TYPE_CHECKING:\n    from spotwave.tasks import first",
    ],
)
def test_a_circle_is_found_wherever_its_imports_are(back: str) -> None:
    code = {"tasks.first": "from spotwave.tasks.second import it", "tasks.second": "import spotwave.tasks.third"}
    assert circle_in(graph_of(code | {"tasks.third": "import json"})) == []
    circle = circle_in(graph_of(code | {"tasks.third": back}))
    assert set(circle) == {"tasks.first", "tasks.second", "tasks.third"}
