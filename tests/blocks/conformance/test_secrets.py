"""A job's secret is only in the cloud's secret manager."""

from __future__ import annotations

import json

import pytest

from spotwave.blocks.errors import Misconfigured
from tests.blocks.conformance.wing import PLANTED, SECRETS, RentedWing, brief
from tests.security.guard import contains_secret


def test_every_attempt_writes_the_same_secret_of_the_job(rented: RentedWing) -> None:
    rented.launch()
    assert {name: json.loads(files) for name, files in rented.emulator.secrets.items()} == {rented.secret_name: SECRETS}
    rented.launch(brief(attempt=2, secrets={"api.json": "of the second"}))
    assert list(rented.emulator.secrets) == [rented.secret_name]
    assert json.loads(rented.emulator.secrets[rented.secret_name]) == {"api.json": "of the second"}


def test_secret_appears_nowhere_else(rented: RentedWing, caplog: pytest.LogCaptureFixture) -> None:
    what = brief()
    machine = rented.launch(what)
    sent = [one for one in rented.emulator.received if contains_secret(one, PLANTED)]
    calls = [rented.emulator.name_of(one).partition(" ")[0] for one in sent]
    assert calls, "otherwise this test would detect nothing"
    assert set(calls) <= rented.secret_calls
    shown = [repr(machine), repr(what), repr(rented.block().leftovers()), caplog.text, rented.user_data(machine)]
    assert PLANTED not in "\n".join([*shown, *rented.emulator.calls])


def test_user_data_has_the_location_of_the_secret(rented: RentedWing) -> None:
    script = rented.user_data(rented.launch())
    assert script.startswith("#!/usr/bin/env bash\n")
    for line in (
        f"export SPOTWAVE_CLOUD={rented.kind}\n",
        f"export SPOTWAVE_SECRET={rented.secret_name}\n",
        f"export SPOTWAVE_SECRET_AT={rented.emulator.url}\n",
    ):
        assert line in script


def test_no_machine_without_its_secret(rented: RentedWing) -> None:
    rented.deny("secret")
    with pytest.raises(Misconfigured, match=rented.remedy("secret")) as refused:
        rented.launch()
    assert PLANTED not in str(refused.value)
    assert rented.asked("launch") == 0
    assert rented.made() == 0
