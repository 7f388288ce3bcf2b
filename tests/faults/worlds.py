"""Accounts with small quotas, and clouds without capacity: problems that exist before a job requests its machine."""

from __future__ import annotations

from spotwave.blocks.market import offers_of
from spotwave.blocks.models import Offer, Requirements
from spotwave.tasks.market.expected_cost import Work
from spotwave.tasks.market.rank import rank
from tests.emulators.aws import AwsEmulator
from tests.emulators.azure import AzureEmulator
from tests.emulators.gcp import GcpEmulator
from tests.faults.emulated_testbed import Booting, EmulatedTestbed
from tests.faults.live import Live
from tests.faults.testbed import Testbed
from tests.flows.clouds_kit import REQUIREMENTS

LITTLE = 1  # vCPU: less than any machine that a job would choose in the emulated markets


def first_offer(testbed: Testbed) -> Offer:
    """Return the offer that a job tries first."""
    wanted = Requirements.model_validate(REQUIREMENTS)
    return rank(testbed.cloud.market(), wanted, Work(1.0), {}).ranked[0].offer


def small_regional_quota(testbed: Testbed) -> None:
    """Leave no quota in the region of the first offer."""
    region = first_offer(testbed).region
    match emulator_of(testbed):
        case AwsEmulator() as amazon:
            amazon.account.quota_vcpus[region] = LITTLE
        case GcpEmulator() as google:
            google.world.quotas[region] = {**google.world.quotas.get(region, {}), "PREEMPTIBLE_CPUS": (LITTLE, 0)}
        case AzureEmulator() as microsoft:
            microsoft.settings.spot_vcpus[region] = LITTLE


def small_project_quota(testbed: Testbed) -> None:
    """Limit the quota of all regions together to the vCPUs of the first offer."""
    google = emulator_of(testbed)
    assert isinstance(google, GcpEmulator)
    google.world.project_quotas["CPUS_ALL_REGIONS"] = (first_offer(testbed).vcpus, 0)


def no_family_quota(testbed: Testbed) -> None:
    """Grant no spot quota, and none for the first offer's family; other families have their own quotas."""
    google, offer = emulator_of(testbed), first_offer(testbed)
    assert isinstance(google, GcpEmulator)
    family = offer.instance_type.partition("-")[0]
    own = "CPUS" if family in ("e2", "n1") else f"{family.upper()}_CPUS"
    google.world.quotas[offer.region] = {"PREEMPTIBLE_CPUS": (0, 0), own: (0, 0)}


def closed_region(testbed: Testbed) -> None:
    region = first_offer(testbed).region
    match emulator_of(testbed):
        case AwsEmulator() as amazon:
            amazon.account.closed[region] = ""
        case GcpEmulator() as google:
            google.world.closed.add(region)
        case AzureEmulator() as microsoft:
            microsoft.settings.closed[region] = "RequestDisallowedByAzure"


def fill(live: Live) -> None:
    """Exhaust every pool."""
    exhausted = emulator_of(live.testbed).exhausted
    exhausted.update((offer.instance_type, offer.pool[2]) for offer in offers_of(live.testbed.cloud.market().frame))


def make_room(live: Live) -> None:
    emulator_of(live.testbed).exhausted.clear()


def emulator_of(testbed: Testbed) -> Booting:
    assert isinstance(testbed, EmulatedTestbed), "the local cloud has no quotas"
    return testbed.emulator
