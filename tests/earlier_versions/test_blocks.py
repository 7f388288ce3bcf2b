"""Block documents of an earlier version are still valid: no field is gone, and no required one is new."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.blocks.core import Block

from spotwave.blocks.load import _by_its_fields
from spotwave.blocks.registry import block_type
from tests.earlier_versions.conftest import Earlier
from tests.emulators.gcp_cloud import credentials

MASK = "********"  #: replaces a secret
NOT_TEXT: dict[str, Any] = {"options": {}}  #: secrets that are tables


def current_class(name: str) -> type[Block]:
    found = block_type(name.partition("/")[0])
    assert found is not None, f"there is no block type for {name}"
    return found


def unmasked(data: dict[str, Any]) -> dict[str, Any]:
    """Remove the masks, which are not valid values of their fields."""
    return {
        name: unmasked(value) if isinstance(value, dict) and name not in NOT_TEXT else NOT_TEXT.get(name, value)
        for name, value in data.items()
    }


def test_all_fields_exist_under_their_names(earlier: Earlier) -> None:
    for name, document in earlier.json("blocks.json").items():
        fields = current_class(name).model_fields
        assert set(document["fields"]) <= fields.keys(), name
        new = fields.keys() - set(document["fields"])
        assert [one for one in new if fields[one].is_required()] == [], f"{name}: missing in an earlier document"
        assert current_class(name)._block_type_name == document["block_type"]


def test_earlier_document_is_valid(earlier: Earlier) -> None:
    found = earlier.json("blocks.json")
    assert len(found) >= 14
    for name, document in found.items():
        data = _by_its_fields(unmasked(document["data"]))
        if name.startswith("gcp-cloud/"):
            data["credentials"] = credentials().model_dump()  # a valid key
        if data.get("proxy_key") == MASK:
            data["proxy_key"] = MASK * 4  # of the minimum length
        block = current_class(name).model_validate(data)
        for field, value in data.items():
            if isinstance(value, str | int | float | bool) and value != MASK and "key" not in field:
                assert getattr(block, field) == value, f"{name}.{field}"


@pytest.mark.parametrize("name", ["local-cloud/priced", "budget/asks"])
def test_user_settings_are_kept(earlier: Earlier, name: str) -> None:
    block = current_class(name).model_validate(earlier.json("blocks.json")[name]["data"])
    saved = block.model_dump()
    wanted = {"local-cloud/priced": ("prices", {"local-1": 36.0}), "budget/asks": ("approve_above_usd", 0.5)}[name]
    assert saved[wanted[0]] == wanted[1]
