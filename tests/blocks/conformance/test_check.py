"""`check` tests everything that a launch needs, without launching; and properties of the blocks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.models import Finding
from tests.blocks.conformance.wing import RentedWing, Wing
from tests.emulators.server import Answer, Fault, cut, garbage


def checked(wing: Wing) -> dict[str, Finding]:
    found = {one.what: one for one in wing.block().check()}
    assert all("\n" not in one.said for one in found.values())
    assert wing.left() == []
    assert wing.made() == 0
    return found


def test_check_of_a_correct_account_finds_no_problem(wing: Wing) -> None:
    found = checked(wing)
    assert [one for one in found.values() if one.ok is not True] == []
    assert sorted(found) == sorted(wing.checked)


def test_refused_credentials_end_the_check(rented: RentedWing) -> None:
    rented.deny("identity")
    (finding,) = checked(rented).values()
    assert finding.ok is False
    assert rented.remedy("identity") in finding.said


@pytest.mark.parametrize("answer", [cut(), garbage()], ids=["cut", "garbage"])
def test_check_raises_nothing_whatever_the_cloud_answers(rented: RentedWing, answer: Answer) -> None:
    rented.emulator.fail(Fault(lambda request: True, answer))
    found = checked(rented)
    assert found
    assert not any(one.ok for one in found.values())


def test_emulated_cloud_is_local_and_a_real_one_is_not(rented: RentedWing) -> None:
    assert rented.block().is_local
    assert not rented.not_here().is_local


def test_every_setting_has_a_title_and_a_description(wing: Wing) -> None:
    block = type(wing.block())
    for name in set(block.model_fields) - set(Cloud.model_fields):
        assert block.model_fields[name].title, name
        assert block.model_fields[name].description, name


@pytest.mark.parametrize(("kind", "sdk"), [("gcp", "google.cloud.compute"), ("azure", "azure.")])
def test_importing_the_block_imports_no_sdk(kind: str, sdk: str) -> None:
    """Listing the clouds must not import the SDKs of unused ones."""
    code = f"import sys, spotwave.blocks.{kind}.block; print([one for one in sys.modules if one.startswith({sdk!r})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
