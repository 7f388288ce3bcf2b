"""Quotas that are known before a launch: offers that exceed them are excluded from the ranking, with the reason."""

from __future__ import annotations

from functools import partial

import pytest

from spotwave.blocks.cloud import Cloud
from spotwave.blocks.market import Market
from spotwave.blocks.models import Requirements
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.quota_room import within_quotas
from spotwave.tasks.market.rank import rank
from spotwave.tasks.records import Choice
from tests.emulators.aws import AwsEmulator, refused
from tests.emulators.aws import fault as aws_fault
from tests.emulators.aws_cloud import cloud_at as aws_at
from tests.emulators.azure import AzureEmulator, instead
from tests.emulators.azure import refused as azure_refused
from tests.emulators.azure_kit import block as azure_at
from tests.emulators.azure_kit import emulated
from tests.emulators.gcp import GcpEmulator
from tests.emulators.gcp_answers import error
from tests.emulators.gcp_cloud import cloud_at as gcp_at
from tests.emulators.gcp_routes import PROJECT, REGIONS

ANY = Requirements(min_vcpus=1, burstable=True, bare_metal=True)


def chosen(cloud: Cloud, market: Market, requirements: Requirements = ANY) -> Choice:
    """Choose as the step `select` does."""
    ranking = partial(rank, market, requirements, Work(10.0), {})
    return within_quotas(ranking(), market, requirements, {cloud.kind: cloud}, lambda over: ranking(over=over))


def reasons(choice: Choice) -> set[str]:
    return {one.reason for one in choice.rejected if one.reason.startswith("quota ")}


@pytest.mark.parametrize("vcpus", range(2, 9))
def test_aws_ranking_respects_a_quota_of_16_vcpus(vcpus: int) -> None:
    with AwsEmulator(boots=False) as aws:
        aws.account.quota_vcpus = dict.fromkeys(aws.account.quota_vcpus, 16)
        cloud = aws_at(aws, attempts=2)
        market = cloud.market()
        choice = chosen(cloud, market, ANY.model_copy(update={"min_vcpus": vcpus}))
        standard = [r.offer for r in choice.ranked if cloud.quotas_of(r.offer).keys() == {"Standard"}]
        assert standard
        assert max(offer.vcpus for offer in standard) <= 16
        assert "quota us-east-1 Standard spot = 16 vCPUs" in reasons(choice)


def test_class_without_quota_is_excluded_and_others_are_not() -> None:
    with AwsEmulator(boots=False) as aws:
        cloud = aws_at(aws, attempts=2)
        market = cloud.market()
        gpus = ANY.model_copy(update={"gpu_count": 1})
        before = chosen(cloud, market, gpus)
        assert {offer.instance_type[0] for offer in (r.offer for r in before.ranked)} >= {"g"}
        for region in aws.account.quota_vcpus:
            aws.account.class_vcpus[region, "G and VT"] = 0
        after = chosen(cloud, market, gpus)
        assert not [r for r in after.ranked if "G and VT" in cloud.quotas_of(r.offer)]
        if not after.ranked:
            assert after.remedy is not None
            assert after.remedy.startswith("quota: every offer that meets the requirements exceeds the account's quota")
        assert chosen(cloud, market).ranked == rank(market, ANY, Work(10.0), {}).ranked


def test_unknown_aws_quota_excludes_nothing() -> None:
    with AwsEmulator(boots=False) as aws:
        cloud = aws_at(aws, attempts=2)
        market = cloud.market()
        aws.account.quota_vcpus = dict.fromkeys(aws.account.quota_vcpus, 2)
        aws.fail(aws_fault("GetServiceQuota", refused("AccessDeniedException", 400)))
        assert chosen(cloud, market) == rank(market, ANY, Work(10.0), {})


def test_unknown_gcp_quota_excludes_nothing() -> None:
    with GcpEmulator() as google:
        cloud = gcp_at(google.url)
        market = cloud.market()
        google.world.project_quotas = {"CPUS_ALL_REGIONS": (2.0, 0.0)}
        for call in (PROJECT, REGIONS):
            google.refuse(call, error(403, "forbidden", "no"))
        assert chosen(cloud, market) == rank(market, ANY, Work(10.0), {})


def test_unknown_azure_quota_excludes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated(monkeypatch, AzureEmulator(boots=False)) as microsoft:
        cloud = azure_at(microsoft)
        market = cloud.market()
        microsoft.fail(instead("usages.get", azure_refused(403, "AuthorizationFailed")))
        assert chosen(cloud, market) == rank(market, ANY, Work(10.0), {})


def test_gcp_global_quota_limits_the_ranking() -> None:
    with GcpEmulator() as google:
        google.world.project_quotas = {"CPUS_ALL_REGIONS": (16.0, 12.0)}
        cloud = gcp_at(google.url)
        market = cloud.market()
        choice = chosen(cloud, market)
        assert choice.ranked
        assert max(r.offer.vcpus for r in choice.ranked) <= 4
        assert "quota of the account CPUS_ALL_REGIONS = 4 of 16 free vCPUs" in reasons(choice)
        google.world.project_quotas = {"CPUS_ALL_REGIONS": (16.0, 16.0)}
        assert max(r.offer.vcpus for r in chosen(gcp_at(google.url), market).ranked) > 4, "a launch waits for capacity"


def test_gcp_family_quota_applies_without_a_spot_quota() -> None:
    with GcpEmulator() as google:
        regions = {zone.rpartition("-")[0] for zone in google.world.zones}
        google.world.quotas = {one: {"PREEMPTIBLE_CPUS": (0.0, 0.0), "N2_CPUS": (4.0, 0.0)} for one in regions}
        cloud = gcp_at(google.url)
        market = cloud.market()
        choice = chosen(cloud, market)
        assert {r.offer.vcpus for r in choice.ranked if r.offer.instance_type.startswith("n2-")} == {4}
        assert "quota us-central1 N2_CPUS = 4 vCPUs" in reasons(choice)
        google.world.quotas = {one: {"N2_CPUS": (0.0, 0.0)} for one in regions}
        own = chosen(gcp_at(google.url), market)
        assert [r for r in own.ranked if r.offer.instance_type.startswith("n2-")], "spot has a quota of its own"


def test_azure_counts_all_families_of_a_region_together(monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated(monkeypatch, AzureEmulator(boots=False)) as microsoft:
        microsoft.settings.spot_vcpus = dict.fromkeys(microsoft.world.regions, 4)
        cloud = azure_at(microsoft)
        market = cloud.market()
        choice = chosen(cloud, market)
        assert max(r.offer.vcpus for r in choice.ranked) <= 4
        assert "quota eastus lowPriorityCores = 4 vCPUs" in reasons(choice)
