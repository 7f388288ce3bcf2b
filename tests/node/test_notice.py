"""The notice watchers against emulated metadata services."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from spotwave.node.agent.notice import NoNotice, Notice, notice_watcher
from spotwave.node.agent.notice.aws import AwsNotice
from spotwave.node.agent.notice.azure import AzureNotice
from spotwave.node.agent.notice.gcp import GcpNotice
from spotwave.node.agent.notice.metadata import MetadataNotice
from tests.blocks.machine_kit import until
from tests.emulators.computer import MetadataService
from tests.emulators.metadata import AwsMetadata, AzureMetadata, GcpMetadata
from tests.emulators.server import Fault, Response, cut, garbage

RESOURCE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/sw-1-1"
Metadata = AwsMetadata | GcpMetadata | AzureMetadata


def aws() -> AwsMetadata:
    return AwsMetadata("i-0123", region="eu-central-1", zone="eu-central-1a")


def gcp() -> GcpMetadata:
    return GcpMetadata("sw-1-1", project="chemistry", zone="europe-west3-a")


def azure(first_call_s: float = 0.0) -> AzureMetadata:
    return AzureMetadata("sw-1-1", resource_id=RESOURCE, location="westeurope", first_call_s=first_call_s)


CLOUDS = {"aws": (aws, AwsNotice, 120.0), "gcp": (gcp, GcpNotice, 30.0), "azure": (azure, AzureNotice, 30.0)}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (AwsNotice, GcpNotice, AzureNotice):
        monkeypatch.setattr(kind, "pause_s", 0.02)


@contextmanager
def service(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> Iterator[MetadataService]:
    with MetadataService(metadata) as served:
        monkeypatch.setenv("SPOTWAVE_METADATA", served.url)
        yield served


@contextmanager
def watching(cloud: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MetadataNotice]:
    monkeypatch.setenv("SPOTWAVE_CLOUD", cloud)
    watcher = notice_watcher()
    assert isinstance(watcher, CLOUDS[cloud][1])
    try:
        yield watcher
    finally:
        watcher.stop()


def noticed(watcher: MetadataNotice) -> Notice:
    found = until(watcher.poll, 10)
    assert found is not None
    return found


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("cloud", CLOUDS)
def test_errors_are_not_a_notice(cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata, _, notice_s = CLOUDS[cloud][0](), *CLOUDS[cloud][1:]
    with service(metadata, monkeypatch) as served:
        error: Callable[..., Response] = lambda request, answer: Response(b"{}", 500)  # noqa: E731
        for answer in (error, cut(), garbage()):
            served.fail(Fault(lambda request: True, answer, times=2))
        with watching(cloud, monkeypatch) as watcher:
            until(lambda: len(served.calls) >= 8)  # six of them failed
            assert watcher.poll() is None
            assert watcher.hint() is None
            metadata.notice(time.time() + 25)
            assert 0 < noticed(watcher).left_s <= notice_s


@pytest.mark.usefixtures("hasty")
def test_aws_renews_its_token_and_gives_the_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = aws()
    with service(metadata, monkeypatch) as served, watching("aws", monkeypatch) as watcher:
        until(lambda: len(served.calls) > 3)
        metadata.expire_tokens()
        metadata.rebalance()
        assert "AWS" in str(until(watcher.hint, 10))
        assert watcher.poll() is None
        assert len([call for call in served.calls if "token" in call]) == 2
        metadata.expire_tokens()
        metadata.notice(time.time() + 60)
        assert 50 < noticed(watcher).left_s <= 60


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("off_s", [600, -600])
def test_the_remaining_time_is_correct_if_the_clock_is_off(off_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = aws()
    metadata.notice(time.time() + off_s + 60)  # by the cloud's clock, which is in its answers
    date = formatdate(time.time() + off_s, usegmt=True)
    monkeypatch.setattr("http.server.BaseHTTPRequestHandler.date_time_string", lambda *_: date)
    with service(metadata, monkeypatch), watching("aws", monkeypatch) as watcher:
        assert 55 < noticed(watcher).left_s <= 61


@pytest.mark.usefixtures("hasty")
def test_gcp_waits_in_one_call_and_misses_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = gcp()
    with service(metadata, monkeypatch) as served, watching("gcp", monkeypatch) as watcher:
        until(lambda: len(served.calls) == 2)  # the first is answered at once, the second hangs
        metadata.notice()
        assert 25 < noticed(watcher).left_s <= 30
        assert len(served.calls) == 2
    with service(metadata, monkeypatch), watching("gcp", monkeypatch) as late:
        assert noticed(late)  # it was TRUE before the first request


@pytest.mark.usefixtures("hasty")
def test_azure_reacts_only_to_its_own_preemption(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = azure(first_call_s=0.3)
    soon = time.time() + 20
    for kind, resources in (("Freeze", None), ("Reboot", None), ("Redeploy", None), ("Preempt", ["sw-1-10", "sw-2-1"])):
        metadata.event(kind, soon, resources)
    with service(metadata, monkeypatch) as served, watching("azure", monkeypatch) as watcher:
        until(lambda: len([call for call in served.calls if "scheduledevents" in call]) >= 3)
        assert watcher.poll() is None
        metadata.event("Preempt", soon, ["other", "SW-1-1"])
        assert 10 < noticed(watcher).left_s <= 20


@pytest.mark.usefixtures("hasty")
def test_azure_an_event_that_has_started_leaves_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = azure()
    metadata.start(metadata.notice(time.time() + 30))
    with service(metadata, monkeypatch), watching("azure", monkeypatch) as watcher:
        assert noticed(watcher).left_s == 0


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("cloud", CLOUDS)
def test_an_unreachable_service_is_logged_once_and_retried(
    cloud: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    metadata = CLOUDS[cloud][0]()
    with service(metadata, monkeypatch) as served, caplog.at_level(logging.WARNING, "agent.notice"):
        served.fail(Fault(lambda request: True, cut(), times=5))
        with watching(cloud, monkeypatch) as watcher:
            until(lambda: len(served.calls) > 5)
            metadata.notice(time.time() + 25)
            noticed(watcher)
    assert len([record for record in caplog.records if "no valid answer" in record.message]) == 1


def test_the_local_cloud_has_a_notice_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPOTWAVE_CLOUD", raising=False)
    monkeypatch.delenv("SPOTWAVE_NOTICE", raising=False)
    assert isinstance(notice_watcher(), NoNotice)
    monkeypatch.setenv("SPOTWAVE_NOTICE", str(tmp_path / "notice.json"))
    watcher = notice_watcher()
    assert watcher.poll() is None
    (tmp_path / "notice.json").write_text('{"action": "terminate", "time": 12.5}')
    assert watcher.poll() == Notice(12.5)
    assert watcher.hint() is None
