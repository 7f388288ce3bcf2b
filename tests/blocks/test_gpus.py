"""GPU names are the same on every cloud, with one memory size per name; and the GPUs of each size."""

from __future__ import annotations

import json

import pytest

from spotwave.blocks.aws.instance_types import types_frame
from spotwave.blocks.azure.gpus import gpus
from spotwave.blocks.azure.pages import listed
from spotwave.blocks.azure.skus import SKU, sizes
from spotwave.blocks.gcp.families import GPUS
from spotwave.blocks.gpus import CARDS, card, card_of, nearest, unknown
from spotwave.blocks.models import Requirements
from tests.emulators import aws_rows
from tests.emulators.azure_world import sku


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A100", "A100"),
        ("a100", "A100"),
        ("A100-40GB", "A100"),
        ("NVIDIA A100-SXM4-40GB", "A100"),
        ("nvidia-tesla-a100", "A100"),
        ("A100-80G", "A100 80GB"),
        ("nvidia-a100-80gb", "A100 80GB"),
        ("A10", "A10"),
        ("A10G", "A10G"),
        ("t4g", "T4g"),
        ("L4 24GB", "L4"),
        ("nvidia-h100-mega-80gb", "H100"),
        ("H100 94GB", "H100 NVL"),
        ("Tesla V100-SXM2-16GB", "V100"),
        ("V100-32GB", "V100 32GB"),
        ("RTX PRO Server 6000", "RTX PRO 6000"),
        ("RTX 6000 96GB", "RTX PRO 6000"),
    ],
)
def test_every_spelling_maps_to_one_card(name: str, expected: str) -> None:
    found = card(name)
    assert found is not None
    assert found.name == expected
    assert Requirements(gpu=name).gpu == expected


def test_no_two_cards_share_a_name() -> None:
    assert all(card(name) is one for one in CARDS for name in (one.name, *one.also))


@pytest.mark.parametrize(
    ("name", "likely"),
    [("A1000", "A100"), ("L40", "L40S"), ("A100 60GB", "A100 80GB"), ("H 10", "H100"), ("T4x", "T4")],
)
def test_unknown_name_gets_the_nearest_ones(name: str, likely: str) -> None:
    message = unknown(name)
    assert message is not None
    assert message.startswith(f"'{name}' is not a GPU of any cloud; the nearest are {nearest(name)[0]}")
    assert likely in nearest(name)
    assert "\n" not in message
    assert Requirements(gpu=name).gpu == name  # refused later by check_job, with a clear message


def test_name_without_similar_ones_gets_the_whole_list() -> None:
    message = unknown("x\n" + 99 * "?")
    assert message is not None
    assert "known are A10, A100" in message
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("model", "gib", "expected"),
    [
        ("A100", 40.0, "A100"),
        ("A100", 80.0, "A100 80GB"),
        ("V100", 16.0, "V100"),
        ("V100", 32.0, "V100 32GB"),
        ("L4", 22888 / 1024, "L4"),
        ("B300", 275040 / 1024, "B300"),
        ("L4", 48.0, None),  # the same name with another memory is another card
        ("X1", 16.0, None),
    ],
)
def test_memory_distinguishes_cards_with_one_name(model: str, gib: float, expected: str | None) -> None:
    found = card_of(model, gib)
    assert (found and found.name) == expected


def test_a100_is_the_same_card_on_three_clouds() -> None:
    page, _ = listed(
        json.dumps({"value": [sku("eastus", "Standard_ND96asr_v4", 96, 900, GPUs="8")]}).encode(), "value", "next", SKU
    )
    amazon = types_frame([aws_rows.shape("p4d.24xlarge", 96, 1152, GpuInfo=aws_rows.gpus("A100", 8, 40960))])
    google = card(GPUS["nvidia-tesla-a100"][0])
    assert google is not None
    found = [
        *amazon.select("gpu", "gpu_memory_gib").rows(),
        *sizes(page, "eastus").select("gpu", "gpu_memory_gib").rows(),
        (google.name, google.memory_gib),
    ]
    assert found == [("A100", 40.0)] * 3


def test_every_gpu_of_compute_engine_is_a_card() -> None:
    assert all(card(name) is not None and card(name) is card(accelerator) for accelerator, (name, _) in GPUS.items())


def test_unknown_card_keeps_the_name_and_memory_from_ec2() -> None:
    found = types_frame([aws_rows.shape("p9.48xlarge", 192, 2048, GpuInfo=aws_rows.gpus("C400", 8, 409600))])
    assert found.select("gpu", "gpu_count", "gpu_memory_gib").rows() == [("C400", 8.0, 400.0)]


# Azure documentation, "GPU accelerated VM sizes", table "Accelerators" of each series that is sold in parts.
@pytest.mark.parametrize(
    ("size", "name", "count", "gib"),
    [
        ("NV6ads_A10_v5", "A10", 1 / 6, 4),
        ("NV12ads_A10_v5", "A10", 1 / 3, 8),
        ("NV18ads_A10_v5", "A10", 1 / 2, 12),
        ("NV36ads_A10_v5", "A10", 1, 24),
        ("NV36adms_A10_v5", "A10", 1, 24),
        ("NV72ads_A10_v5", "A10", 2, 24),
        ("NV4ads_V710_v5", "V710", 1 / 6, 4),
        ("NV8ads_V710_v5", "V710", 1 / 3, 8),
        ("NV12ads_V710_v5", "V710", 1 / 2, 12),
        ("NV24ads_V710_v5", "V710", 1, 24),
        ("NV28adms_V710_v5", "V710", 1, 24),
        ("NG8ads_V620_v1", "V620", 1 / 4, 8),
        ("NG16ads_V620_v1", "V620", 1 / 2, 16),
        ("NG32ads_V620_v1", "V620", 1, 32),
        ("NG32adms_V620_v1", "V620", 1, 32),
        ("NV4as_v4", "MI25", 1 / 8, 2),
        ("NV8as_v4", "MI25", 1 / 4, 4),
        ("NV16as_v4", "MI25", 1 / 2, 8),
        ("NV32as_v4", "MI25", 1, 16),
        ("NC24lds_xl_RTXPRO6000BSE_v6", "RTX PRO 6000", 1 / 4, 24),
        ("NC36ds_xl_RTXPRO6000BSE_v6", "RTX PRO 6000", 1 / 4, 24),
        ("NC36lds_xl_RTXPRO6000BSE_v6", "RTX PRO 6000", 1 / 4, 24),
        ("NC72ds_xl_RTXPRO6000BSE_v6", "RTX PRO 6000", 1 / 2, 48),
        ("NC144lds_xl_RTXPRO6000BSE_v6", "RTX PRO 6000", 1, 96),
        ("NC288ds_xl_RTXPRO6000BSE_v6", "RTX PRO 6000", 2, 96),
        ("NC128ds_xl_RTXPRO6000BSE_v6", "RTX PRO 6000", 1, 96),
        ("NC320lds_xl_RTXPRO6000BSE_v6", "RTX PRO 6000", 2, 96),
        ("NC64as_T4_v3", "T4", 4, 16),
        ("NC48ads_A100_v4", "A100 80GB", 2, 80),
        ("NC80adis_H100_v5", "H100 NVL", 2, 94),
        ("NCC40ads_H100_v5", "H100 NVL", 1, 94),
        ("ND128isr_NDR_GB200_v6", "GB200", 4, 192),
        ("ND128isrG5_GB300_v6", "GB300", 4, 288),
    ],
)
def test_gpus_of_an_azure_size(size: str, name: str, count: float, gib: float) -> None:
    found = gpus(f"Standard_{size}")
    assert found is not None
    assert found.card is not None
    assert found.count is not None
    assert (found.card.name, found.count, found.card.part_gib(found.count)) == (name, count, pytest.approx(gib))


@pytest.mark.parametrize(
    ("size", "name"),
    [
        ("NC6", "K80"),
        ("NC24r_Promo", "K80"),
        ("NC6s_v2", "P100"),
        ("NC24rs_v3", "V100"),
        ("ND40rs_v2", "V100 32GB"),
        ("ND6s", "P40"),
        ("NV12s_v3", "M60"),
        ("ND96asr_v4", "A100"),
        ("ND96amsr_A100_v4", "A100 80GB"),
        ("ND96isr_H100_v5", "H100"),
        ("ND96isr_H200_v5", "H200"),
        ("NC16ads_A10_v4", "A10"),
    ],
)
def test_gpus_of_an_azure_size_with_the_count_in_its_sku(size: str, name: str) -> None:
    found = gpus(f"Standard_{size}")
    assert found is not None
    assert (found.card and found.card.name, found.count, found.parts) == (name, None, False)
