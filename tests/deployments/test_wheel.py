"""The wheel: its content, and that it does not depend on where it was built or what else is installed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.installed import NEIGHBOURS, Installed, build, install, unpacked
from tests.test_rooms import ROOT

Contents = dict[str, tuple[bytes, int]]

_WRITE_MACHINES_WHEEL = """
import sys
from pathlib import Path
import spotwave
from spotwave.tasks.results.stage import build_wheel
print(build_wheel(Path(sys.argv[1])))
print(Path(spotwave.__file__).parent)
"""


def contents(wheel: Path) -> Contents:
    """Return content and mode of each file by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {one.filename: (archive.read(one), one.external_attr >> 16) for one in archive.infolist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return install(wheel, tmp_path_factory.mktemp("installed") / "environment")


def test_wheel_from_sdist_equals_wheel_from_tree(wheel: Path, tmp_path: Path) -> None:
    for name in ("sdist", "tree", "wheel"):
        (tmp_path / name).mkdir()
    source = unpacked(build("sdist", ROOT, tmp_path / "sdist"), tmp_path / "tree")
    again = build("wheel", source, tmp_path / "wheel")
    assert again.name == wheel.name
    assert contents(again) == contents(wheel)


def test_wheel_has_all_tracked_files(wheel: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *NEIGHBOURS], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    tracked = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    assert len(tracked) > 300
    assert {f"spotwave/{name}" for name in tracked} - set(contents(wheel)) == set()


def test_wheel_has_one_package(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in contents(wheel)}
    assert tops == {"spotwave", f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}
    assert "spotwave/py.typed" in contents(wheel)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_folder_cannot_be_imported_by_bare_name(name: str) -> None:
    """It would be a second copy of the package, with its own flows and block types."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {name}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert f"ImportError: {name} is spotwave.{name}: import it by that name" in done.stderr


def test_other_packages_of_these_names_are_not_shadowed(installed: Installed, tmp_path: Path) -> None:
    code = "import spotwave.flows.prices, " + ", ".join(NEIGHBOURS)
    code += "\nassert {" + ", ".join(f"{name}.OWNER" for name in NEIGHBOURS) + "} == {'another project'}"
    done = installed.call("python", "-c", code, cwd=tmp_path, user=tmp_path)
    assert done.returncode == 0, done.stderr


def test_machine_gets_installed_package(installed: Installed, wheel: Path, tmp_path: Path) -> None:
    """Without any pyproject.toml: the installed package is packed into a wheel again."""
    made = tmp_path / "machine"
    done = installed.call("python", "-c", _WRITE_MACHINES_WHEEL, str(made), cwd=tmp_path, user=tmp_path)
    assert done.returncode == 0, done.stderr
    written, package = done.stdout.split()
    assert Path(package) == installed.packages / "spotwave"

    def package_of(contents: Contents) -> dict[str, bytes]:
        return {name: content for name, (content, _) in contents.items() if name.startswith("spotwave/")}

    assert package_of(contents(Path(written))) == package_of(contents(wheel))
    assert Path(written).name == wheel.name
