"""Google's public price list of Compute Engine, one row per SKU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.auth.exceptions import GoogleAuthError

from spotwave.blocks.concurrent import OnProgress, Unavailable
from spotwave.blocks.errors import MarketUnavailable
from spotwave.blocks.gcp.clients import Clients, why
from spotwave.blocks.http import get_json

_COMPUTE_ENGINE = "6F81-5844-456A"  # the service's id in the price list
_PAGE = 5000  # the API's maximum
_MOST_PAGES = 200  # five times the plausible number; ends a circle of page tokens
FIELDS = (
    "skus(description,category(resourceGroup,usageType),serviceRegions,"
    "pricingInfo/pricingExpression(usageUnit,tieredRates/unitPrice)),"
    "nextPageToken"
)


def read_skus(clients: Clients, tell: OnProgress) -> Iterator[dict[str, Any]]:
    """Yield all SKUs of Compute Engine (Cloud Billing API, services.skus.list), in USD, page by page.

    An incomplete list is an error: of two SKUs, the more expensive one could be missing. Raises MarketUnavailable.
    """
    count = 0
    try:
        for skus in _pages(clients, tell):
            count += len(skus)
            yield from skus
    except Unavailable as error:
        raise MarketUnavailable(
            f"gcp: the price list cannot be read: {error}; "
            f"the Cloud Billing API must be enabled in the project {clients.project}"
        ) from error
    except GoogleAuthError as error:
        raise MarketUnavailable(f"gcp: the price list cannot be read: {why(error)}") from error
    if not count:
        raise MarketUnavailable("gcp: the price list is empty; try again later")


def _pages(clients: Clients, tell: OnProgress) -> Iterator[list[dict[str, Any]]]:
    """Yield the pages. Raises Unavailable and GoogleAuthError."""
    url = f"{clients.endpoints.billing}/v1/services/{_COMPUTE_ENGINE}/skus"
    asked = {"pageSize": str(_PAGE), "currencyCode": "USD", "fields": FIELDS}
    with clients.billing() as http:
        for page in range(1, _MOST_PAGES + 1):
            listed = get_json(http, url, asked)
            if not isinstance(listed, dict):
                raise Unavailable(f"page {page} is not a price list")
            token = listed.get("nextPageToken")
            tell(page, page + bool(token))
            yield listed.get("skus") or []
            if not token:
                return
            asked["pageToken"] = token
    raise Unavailable(f"it has no end: {_MOST_PAGES} pages")
