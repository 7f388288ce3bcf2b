"""Information in the names of Azure sizes."""

from __future__ import annotations

import pytest

from spotwave.blocks.azure.shapes import Shape, shape
from spotwave.blocks.azure.size_names import family


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("Standard_D4as_v5", "Dasv5"),
        ("Standard_E8-4ds_v5", "Edsv5"),
        ("Standard_NC24ads_A100_v4", "NCads_A100_v4"),
        ("Standard_M8-2ms", "Mms"),
        ("Standard_DS11-1_v2", "DSv2"),
        ("Standard_D13_v2_Promo", "D_v2_Promo"),
        ("Standard_DC2ads_cc_v5", "DCads_cc_v5"),
        ("Basic_A1", "Basic_A"),
        ("nonsense", "nonsense"),
    ],
)
def test_family_is_the_name_without_its_numbers(size: str, expected: str) -> None:
    assert family(size) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("Standard_D4as_v5", Shape(4, 2, 16, "x86_64")),
        ("Standard_D8pls_v6", Shape(8, 8, 16, "arm64")),
        ("Standard_E8-4ds_v5", Shape(4, 2, 64, "x86_64")),
        ("Standard_F8s_v2", Shape(8, 4, 16, "x86_64")),
        ("Standard_F8als_v6", Shape(8, 8, 16, "x86_64")),
        ("Standard_F8ams_v6", Shape(8, 8, 64, "x86_64")),
        ("Standard_L8as_v3", Shape(8, 4, 64, "x86_64")),
        ("Standard_B2ts_v2", Shape(2, 1, 1, "x86_64", burstable=True)),
        ("Standard_NC64as_T4_v3", Shape(64, 64, 440, "x86_64", "T4", 4, 16)),
        ("Standard_NV18ads_A10_v5", Shape(18, 9, 220, "x86_64", "A10", 0.5, 12)),
    ],
)
def test_shape_from_a_name(size: str, expected: Shape) -> None:
    assert shape(size) == expected


@pytest.mark.parametrize(
    "size",
    [
        "Standard_D11_v2",  # its number is an index, not the vCPUs
        "Standard_D64ps_v5",  # has less memory than its series
        "Standard_E96s_v5",
        "Standard_E104i_v5",
        "Standard_M8-2ms",
        "Standard_HB120rs_v3",
        "Standard_NC6s_v3",
        "Standard_D4s_v5_Promo",
        "Basic_A1",
        "standard_d4s_v5",
    ],
)
def test_name_without_a_known_shape(size: str) -> None:
    assert shape(size) is None
