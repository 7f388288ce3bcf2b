"""Block documents that an earlier version saved are blocks of today: no field is gone, none is missing."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.blocks.core import Block

from spotwave.blocks.load import _by_its_fields
from spotwave.blocks.registry import block_type
from tests.earlier_versions.conftest import Earlier
from tests.emulators.gcp_cloud import credentials

MASK = "********"  #: where a secret was
NOT_TEXT: dict[str, Any] = {"options": {}}  #: secrets that are tables


def of_today(name: str) -> type[Block]:
    found = block_type(name.partition("/")[0])
    assert found is not None, f"there is no block type for {name}"
    return found


def unmasked(data: dict[str, Any]) -> dict[str, Any]:
    """Without the masks, which are no values of their fields."""
    return {
        name: unmasked(value) if isinstance(value, dict) and name not in NOT_TEXT else NOT_TEXT.get(name, value)
        for name, value in data.items()
    }


def test_the_fields_are_all_there_under_their_names(earlier: Earlier) -> None:
    for name, document in earlier.json("blocks.json").items():
        fields = of_today(name).model_fields
        assert set(document["fields"]) <= fields.keys(), name
        new = fields.keys() - set(document["fields"])
        assert [one for one in new if fields[one].is_required()] == [], f"{name}: a document of before lacks it"
        assert of_today(name)._block_type_name == document["block_type"]


def test_a_document_is_built_as_it_was_saved(earlier: Earlier) -> None:
    found = earlier.json("blocks.json")
    assert len(found) >= 14
    for name, document in found.items():
        data = _by_its_fields(unmasked(document["data"]))
        if name.startswith("gcp-cloud/"):
            data["credentials"] = credentials().model_dump()  # a key that is one
        if data.get("proxy_key") == MASK:
            data["proxy_key"] = MASK * 4  # at least so long
        block = of_today(name).model_validate(data)
        for field, value in data.items():
            if isinstance(value, str | int | float | bool) and value != MASK and "key" not in field:
                assert getattr(block, field) == value, f"{name}.{field}"


@pytest.mark.parametrize("name", ["local-cloud/priced", "budget/asks"])
def test_what_its_user_has_set_stays_set(earlier: Earlier, name: str) -> None:
    block = of_today(name).model_validate(earlier.json("blocks.json")[name]["data"])
    told = block.model_dump()
    wanted = {"local-cloud/priced": ("prices", {"local-1": 36.0}), "budget/asks": ("approve_above_usd", 0.5)}[name]
    assert told[wanted[0]] == wanted[1]
