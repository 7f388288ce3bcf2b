"""Stories as flows: the form that Prefect shows, requirements derived from an input, and continuation of a job."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema

from spotwave.blocks.models import Requirements
from spotwave.flows.loop.stories import stories, story_named
from spotwave.flows.loop.story import Needs, fitting
from spotwave.flows.shci import Shci
from spotwave.node.contract import RunResult
from spotwave.node.input_error import InputError
from spotwave.node.jobs.shci.calculation import Calculation
from spotwave.tasks.market.learned import work_key

SCHEMAS = Path(__file__).parent / "schemas"
WHOLE = Calculation().model_dump(mode="json")
#: As version 0.1.0 wrote it: without the field `cartesian`, which was added later.
OLD = {"calculation": {name: value for name, value in WHOLE.items() if name != "cartesian"}}


def now(**fields: Any) -> dict[str, Any]:
    return {"calculation": Calculation(**fields).model_dump(mode="json")}


def test_every_story_is_found_with_its_flow() -> None:
    found = stories()
    assert {"shci", "drill"} <= found.keys()
    assert found["shci"] == ("spotwave.flows.shci.shci", Shci)
    assert story_named("prices") is None


@pytest.mark.parametrize("name", sorted(path.stem for path in SCHEMAS.glob("*.json")))
def test_form_matches_the_reviewed_schema(name: str) -> None:
    """If the change is intended, write the file again and review the difference."""
    entrypoint, _ = stories()[name]
    module, _, attribute = entrypoint.rpartition(".")
    flow = getattr(__import__(module, fromlist=[attribute]), attribute)
    schema = json.loads(json.dumps(parameter_schema(flow).model_dump()))
    assert schema == json.loads((SCHEMAS / f"{name}.json").read_text())


def test_every_story_has_a_reviewed_schema() -> None:
    assert stories().keys() == {path.stem for path in SCHEMAS.glob("*.json")}


@pytest.mark.parametrize(
    ("new", "same"),
    [
        (now(), True),
        (now(eps1=1e-4), True),
        (now(eps2=1e-7, keep_fcidump=True), True),
        (now(eps1=1e-3), False),
        (now(basis="sto-3g"), False),
        (now(cartesian=True), False),
        (now(program="dice"), False),
        ({"calculation": {"basis": 7}}, False),
        ({}, False),
    ],
    ids=str,
)
def test_job_of_an_earlier_version_is_continued_if_the_calculation_is_the_same(new: dict[str, Any], same: bool) -> None:
    assert Shci().same_work(OLD, new) is same


def test_program_that_cannot_lower_eps1_is_not_continued() -> None:
    assert not Shci().same_work(now(program="dice"), now(program="dice", eps1=1e-4))
    assert Shci().same_work(now(program="dice"), now(program="dice", eps2=1e-7))


def test_work_key_is_that_of_version_0_1_0() -> None:
    """Otherwise all earlier measurements would be lost."""
    before = sha256(json.dumps(["shci-node/machine", OLD], sort_keys=True).encode()).hexdigest()[:16]
    for given in (Calculation(), Calculation(keep_fcidump=True)):
        work = Shci().check(given).work
        assert work is not None
        assert work_key("shci-node/machine", work) == before
    work = Shci().check(Calculation(eps1=1e-3)).work
    assert work is not None
    assert work_key("shci-node/machine", work) != before


def test_requirements_follow_from_the_needs() -> None:
    needs = Needs(
        {}, memory_gib=7.5, memory_because="so much", architectures=["x86_64"], architectures_because="the program x"
    )
    fitted = fitting(Requirements(min_memory_gib=2.0), needs)
    assert (fitted.min_memory_gib, fitted.architectures) == (7.5, ["x86_64"])
    assert fitting(Requirements(min_memory_gib=9.0), needs).min_memory_gib == 9.0
    with pytest.raises(InputError, match=r"^requirements.max_memory_gib: 4 GiB is too little: so much\."):
        fitting(Requirements(max_memory_gib=4.0), needs)
    with pytest.raises(InputError, match=r"^requirements.architectures: arm64 is allowed, but the program x runs on"):
        fitting(Requirements(architectures=["arm64"]), needs)


@pytest.mark.parametrize(
    "result",
    [
        {},
        {"wall_seconds": {"scf": -1.0}},
        {"wall_seconds": {"scf": float("inf")}},
        {"wall_seconds": {"scf": "1"}},
        {"wall_seconds": {str(number): 1.0 for number in range(101)}},
        {"wall_seconds": {}, "answer": 7},
    ],
    ids=lambda result: str(result)[:40],
)
def test_result_without_times_is_invalid(result: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"wall_seconds|answer|RunResult"):
        RunResult.from_dict(result)


def test_result_of_an_earlier_version_is_read() -> None:
    facts = RunResult.from_dict({"wall_seconds": {"hartree_fock": 1.5, "run_shci": 2}, "total_energy": -1.0})
    assert (facts.seconds, facts.answer) == (3.5, "completed")
