"""Failures of Google Cloud are reported in one line each, and the rest of the market is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.gcp import machine_types
from spotwave.blocks.gcp.block import GcpCloud
from spotwave.blocks.market import Market
from tests.emulators.gcp import (
    MACHINE_TYPES,
    SKUS,
    GcpEmulator,
    empty,
    fault,
    refused,
    server_error,
    throttled,
    throttled_as_forbidden,
)
from tests.emulators.gcp_cloud import cloud_at, credentials
from tests.emulators.server import Answer, cut, garbage


@pytest.fixture(scope="module")
def market() -> Market:
    with GcpEmulator() as emulator:
        return cloud_at(emulator.url).market()


def test_rejected_field_mask_only_costs_speed(google: GcpEmulator) -> None:
    whole = cloud_at(google.url).catalogue()
    google.refuses_masks = True
    assert cloud_at(google.url).catalogue().tables["machine_types"].equals(whole.tables["machine_types"])


def test_zone_with_a_warning_is_missing(google: GcpEmulator) -> None:
    google.world.warnings["us-east4-c"] = "UNREACHABLE"
    assert cloud_at(google.url).market().missing == {"gcp us-east4-c": "Compute Engine warns: UNREACHABLE"}


@pytest.mark.parametrize("kind", [MACHINE_TYPES, SKUS])
@pytest.mark.parametrize("trouble", [throttled, server_error, cut, garbage])
def test_transient_fault_leaves_no_gap(google: GcpEmulator, market: Market, kind: str, trouble: Any) -> None:
    google.fail(fault(kind, trouble(), times=1))
    found = cloud_at(google.url).market()
    assert found.frame.drop("seen_at").equals(market.frame.drop("seen_at"))
    assert google.calls.count(kind) == 2


def test_403_for_the_rate_limit_is_retried(google: GcpEmulator) -> None:
    google.fail(fault(MACHINE_TYPES, throttled_as_forbidden(), times=1))
    assert cloud_at(google.url).catalogue().missing == {}


def test_received_part_of_an_interrupted_list_is_kept(google: GcpEmulator) -> None:
    google.most_types = 10
    google.fail(fault(MACHINE_TYPES, refused(403), page=1))
    found = cloud_at(google.url).market()
    assert found.missing == {
        "gcp machine types": "the list is cut off after page 1: Compute Engine answered 403 forbidden; "
        "enable the Compute Engine API, and grant roles/compute.viewer in the project"
    }
    assert 0 < len(found) < 11


@pytest.mark.parametrize(
    ("kind", "answer", "message"),
    [
        (MACHINE_TYPES, refused(403), "grant roles/compute.viewer"),
        (MACHINE_TYPES, refused(401, "authError"), "check the GCP Credentials block"),
        (MACHINE_TYPES, refused(404, "notFound"), "check the project's id"),
        (MACHINE_TYPES, empty(), "no machine types are listed for the project spotwave-test"),
        (SKUS, refused(403), "the Cloud Billing API must be enabled in the project spotwave-test"),
        (SKUS, refused(401, "authError"), "check the GCP Credentials block"),
        (SKUS, empty(), "the price list is empty"),
    ],
)
def test_unavailable_market_reports_the_remedy(google: GcpEmulator, kind: str, answer: Answer, message: str) -> None:
    google.fail(fault(kind, answer))
    with pytest.raises(MarketUnavailable) as refusal:
        cloud_at(google.url).market()
    assert str(refusal.value).startswith("gcp: ")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert "http://127.0.0.1:9" not in str(refusal.value)


def test_incomplete_price_list_is_not_used(google: GcpEmulator) -> None:
    google.most_skus = 50
    google.fail(fault(SKUS, refused(400, "badRequest"), page=2))
    with pytest.raises(MarketUnavailable, match="answered 400"):
        cloud_at(google.url).market()


def test_retries_of_a_failing_service_end(google: GcpEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_types, "PATIENCE_S", 0.6)
    google.fail(fault(MACHINE_TYPES, server_error()))
    with pytest.raises(MarketUnavailable, match="answered 503 backendError, also after retries"):
        cloud_at(google.url).catalogue()


def test_plain_http_endpoint_is_rejected() -> None:
    with pytest.raises(ValidationError, match="use https"):
        GcpCloud(credentials=credentials(), compute_endpoint="http://compute.googleapis.com")


def test_project_is_required(google: GcpEmulator) -> None:
    known = cloud_at(google.url)
    nameless = known.model_copy(update={"credentials": known.credentials.model_copy(update={"project": None})})
    with pytest.raises(MarketUnavailable, match="no project is set"):
        nameless.market()
    assert len(nameless.model_copy(update={"project": "spotwave-test"}).market())


def test_credentials_without_a_key_and_without_a_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with pytest.raises(ValueError, match=r"credentials\n.*paste a service account's key"):
        GcpCloud.model_validate({"credentials": {}})
