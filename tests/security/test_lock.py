"""Installed packages match the lock file, with hashes, and machines install the same versions.

`make audit` looks up known vulnerabilities with a service on the internet.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "node/requirements.lock")
# Spotwave itself, and the packages that `python -m venv` installs.
BESIDE = {"spotwave", "pip", "setuptools"}
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;]+)(\s*;\s*(?P<marker>[^\\]+?))?\s*\\?$")


@dataclass(frozen=True)
class Pin:
    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def is_for_here(self) -> bool:
        return not self.marker or Marker(self.marker).evaluate()


def pins(lock: str) -> list[Pin]:
    """Return the pins. Fails for a line that is not a pin, hash or comment, such as an address, index or option."""
    found: list[tuple[re.Match[str], list[str]]] = []
    for line in (ROOT / lock).read_text().splitlines():
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if one := re.fullmatch(r"--hash=sha256:([0-9a-f]{64})( \\)?", text):
            found[-1][1].append(one[1])
            continue
        pin = _PIN.fullmatch(text)
        assert pin is not None, f"{lock}: {line}"
        found.append((pin, []))
    return [
        Pin(canonicalize_name(pin["name"]), pin["version"], pin["marker"] or "", tuple(hashes)) for pin, hashes in found
    ]


def wanted() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(one) for one in [*project["dependencies"], *project["optional-dependencies"]["dev"]]]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_a_version_with_hashes(lock: str) -> None:
    found = pins(lock)
    assert len(found) > 50
    assert [pin.name for pin in found if not pin.hashes] == []
    here = [pin.name for pin in found if pin.is_for_here]
    assert len(here) == len(set(here)), "one version each"


def test_lock_matches_project_requirements() -> None:
    locked = {pin.name: pin for pin in pins("requirements.lock") if pin.is_for_here}
    for one in wanted():
        if one.marker is not None and not one.marker.evaluate():
            continue
        assert one.url is None, f"{one} is from an address, which cannot be locked"
        pin = locked.get(canonicalize_name(one.name))
        assert pin is not None, f"{one} is not locked; run make lock"
        assert one.specifier.contains(pin.version, prereleases=True), f"{one}, but {pin.version} is locked"


def test_installed_packages_match_lock() -> None:
    installed = {str(canonicalize_name(one.metadata["Name"])): one.version for one in distributions()}
    locked = {pin.name: pin.version for pin in pins("requirements.lock") if pin.is_for_here}
    differing = {name: (installed.get(name), version) for name, version in locked.items()
                 if installed.get(name) != version}  # fmt: skip
    assert differing == {}, "(installed, locked); run make env"
    assert set(installed) - set(locked) - BESIDE == set(), "installed, but not locked"


def test_machine_installs_same_versions_and_files() -> None:
    locked = {(pin.name, pin.version): set(pin.hashes) for pin in pins("requirements.lock")}
    for pin in pins("node/requirements.lock"):
        assert (pin.name, pin.version) in locked, f"{pin.name}=={pin.version} differs from the controller's version"
        assert set(pin.hashes) <= locked[pin.name, pin.version]
