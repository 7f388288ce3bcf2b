"""Create the testbed of a case."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from spotwave.blocks.access import PrefectAccess
from tests.faults.emulated_testbed import EmulatedTestbed
from tests.faults.local_testbed import LocalTestbed
from tests.faults.testbed import Testbed


def make_testbed(
    cloud: str,
    folder: Path,
    api: dict[str, tuple[PrefectAccess, int]],
    *,
    served: bool = False,
    small: bool = False,
) -> Testbed:
    """Create the testbed. api: "direct" for machines on this computer, "proxy" for those in clouds."""
    if cloud == "local":
        return LocalTestbed(folder, api["direct"], served=served, small=small)
    return EmulatedTestbed(cloud, folder, api["proxy"], served=served, small=small)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="spotwave-faults-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
