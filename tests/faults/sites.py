"""The site of a case, by its cloud."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from spotwave.blocks.access import PrefectAccess
from tests.faults.emulated_site import EmulatedSite
from tests.faults.local_site import LocalSite
from tests.faults.site import Site


def site_of(
    cloud: str,
    folder: Path,
    api: dict[str, tuple[PrefectAccess, int]],
    *,
    served: bool = False,
    small: bool = False,
) -> Site:
    """api: "direct" for machines on this computer, "proxy" for those in clouds."""
    if cloud == "local":
        return LocalSite(folder, api["direct"], served=served, small=small)
    return EmulatedSite(cloud, folder, api["proxy"], served=served, small=small)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="spotwave-faults-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
