"""`make env` on users' computers, with a real pip and a real uv.

The lock file has two packages from this test's own index, which is configured for pip only.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from spotwave.deployments.home import ROOT
from spotwave.deployments.uv_as_pip import for_uv
from tests.another_user import NAMELESS, as_root

MAKE, SETPRIV = shutil.which("make"), shutil.which("setpriv")
# The build backend is in the folder itself, so that no network is needed.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """
import zipfile
from pathlib import Path

def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(Path(folder) / "own-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("own-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: own\\nVersion: 1\\n")
        wheel.writestr("own-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("own-1.dist-info/RECORD", "")
    return "own-1-py3-none-any.whl"
"""
# As on Debian without the package python3-venv: the module venv exists, but cannot install pip.
WITHOUT_ENSUREPIP = f"""#!/bin/sh
case "$*" in
*venv*) {sys.executable} -I -m venv --without-pip .venv; echo "ensurepip is not available"; exit 1 ;;
*) exec {sys.executable} "$@" ;;
esac
"""


def wheel(folder: Path, name: str, version: str, tag: str, files: dict[str, bytes]) -> str:
    """Write a wheel; return its line for a lock file."""
    info = f"{name}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
    }
    rows = [f"{path},sha256={_hash(content)},{len(content)}" for path, content in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]).encode()
    (folder / name).mkdir(parents=True)
    made = folder / name / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16
            archive.writestr(entry, content)
    return f"{name}=={version} \\\n    --hash=sha256:{sha256(made.read_bytes()).hexdigest()}\n"


def _hash(content: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(content).digest()).rstrip(b"=").decode()


@dataclass
class Index:
    """A package index on the loopback interface, with a record of the requests."""

    url: str
    lock: str  #: lock file for its two packages
    asked: list[tuple[str, str]]  #: (path, program) of each request


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("index")
    uv = distribution("uv")
    assert uv.files is not None
    program = next(Path(str(file.locate())) for file in uv.files if file.name == "uv")
    lines = [
        wheel(folder, "uv", uv.version, "py3-none-any", {f"uv-{uv.version}.data/scripts/uv": program.read_bytes()}),
        wheel(folder, "nowhere_else", "1", "py3-none-any", {"nowhere_else.py": b"here = True\n"}),
    ]
    (folder / "nowhere_else").rename(folder / "nowhere-else")
    asked: list[tuple[str, str]] = []

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("User-Agent", "").partition("/")[0]))
            super().do_GET()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Index(f"http://127.0.0.1:{server.server_port}", "".join(lines), asked)
        server.shutdown()


@pytest.fixture
def checkout(index: Index, tmp_path: Path) -> Path:
    folder = tmp_path / "a checkout"
    (folder / "deployments").mkdir(parents=True)
    for name in ("Makefile", "deployments/uv_as_pip.py"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "requirements.lock").write_text(index.lock)
    (folder / "pyproject.toml").write_text(PYPROJECT + '[project]\nname = "own"\nversion = "1"\n')
    (folder / "backend.py").write_text(BACKEND)
    (folder / "python-without-ensurepip").write_text(WITHOUT_ENSUREPIP)
    (folder / "python-without-ensurepip").chmod(0o755)
    return folder


def make_env(folder: Path, python: str = sys.executable, **more: str) -> subprocess.CompletedProcess[str]:
    """Run `make env` without the developer's own settings of pip and uv."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    environment = bare | {"PIP_CONFIG_FILE": os.devnull, "HOME": str(folder.parent)} | more
    return subprocess.run(
        ["make", "env", f"PYTHON={python}"], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )


@pytest.mark.thorough
@pytest.mark.skipif(MAKE is None, reason="make is not on this computer")
def test_environment_is_created_on_second_try(checkout: Path, index: Index) -> None:
    """Without ensurepip it prints one line and leaves no .venv. The second try replaces an environment without pip.

    pip is configured to install for the user, and with an index that is not configured for uv.
    """
    first = make_env(checkout, "./python-without-ensurepip")
    assert first.returncode != 0
    assert "apt install python3-venv" in first.stderr
    assert not (checkout / ".venv").exists()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", ".venv"], cwd=checkout, check=True)
    (checkout / "pip.conf").write_text(f"[global]\nindex-url = {index.url}\n[install]\nuser = true\n")
    settings = {"PIP_CONFIG_FILE": str(checkout / "pip.conf"), "PIP_USER": "1", "UV_SYSTEM_PYTHON": "1"}
    second = make_env(checkout, **settings)
    assert second.returncode == 0, second.stdout + second.stderr
    code = "import nowhere_else, sys; sys.exit(sys.prefix == sys.base_prefix)"
    assert subprocess.run([checkout / ".venv/bin/python", "-c", code]).returncode == 0
    assert ("/nowhere-else/", "uv") in index.asked
    assert not (checkout.parent / ".local").exists()  # where `pip install --user` would install


@as_root
@pytest.mark.skipif(MAKE is None or SETPRIV is None, reason="make or setpriv is not on this computer")
def test_make_without_home_prints_one_line(checkout: Path) -> None:
    """Runs as a user id without a name, but with access to the developer's folders, where Python is."""
    unset = [word for name in ("HOME", "MAKELEVEL", "MAKEFLAGS", "MFLAGS") for word in ("-u", name)]  # not make's child
    command = ["env", *unset, str(SETPRIV), f"--reuid={NAMELESS}", "--inh-caps=+dac_override"]
    command += ["--ambient-caps=+dac_override", "make", "env", f"PYTHON={sys.executable}"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    first, *more = done.stderr.splitlines()
    assert first.startswith(f"HOME is not set, and user id {NAMELESS} is unknown on this computer: set HOME")
    assert not [line for line in more if not line.startswith("make: ")]
    assert not (checkout / ".venv").exists()


@pytest.mark.skipif(MAKE is None, reason="make is not on this computer")
@pytest.mark.parametrize(("given", "command"), [([], "clean ;"), (["STATE=1"], "clean --state;")])
def test_make_clean_keeps_state_by_default(given: list[str], command: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "clean", *given], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60
    )
    assert f".venv/bin/spotwave {command}" in done.stdout


def test_uv_gets_pip_settings_unless_already_set() -> None:
    pips = {
        "index-url": "https://user:secret@index.example/simple",
        "extra-index-url": "https://a.example/simple\nhttps://b.example/simple",
        "find-links": "/wheels /more",
        "trusted-host": "a.example b.example",
        "cert": "/own.pem",
        "proxy": "http://proxy.example:3128",
    }
    settings = for_uv(pips, {}, hashed=True)
    assert settings | {"UV_SYSTEM_CERTS": "1"} == {
        "UV_DEFAULT_INDEX": "https://user:secret@index.example/simple",
        "UV_INDEX": "https://a.example/simple https://b.example/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_FIND_LINKS": "/wheels,/more",
        "UV_INSECURE_HOST": "a.example b.example",
        "SSL_CERT_FILE": "/own.pem",
        "ALL_PROXY": "http://proxy.example:3128",
        "UV_SYSTEM_CERTS": "1",
    }
    assert "UV_INDEX_STRATEGY" not in for_uv(pips, {}, hashed=False)  # without hashes the file is not certain
    own = {
        "UV_INDEX_URL": "https://mine.example",
        "UV_EXTRA_INDEX_URL": "https://more.example",
        "https_proxy": "http://p",
    }
    left = for_uv(pips, own, hashed=True)
    assert not {"UV_DEFAULT_INDEX", "UV_INDEX", "ALL_PROXY"} & left.keys()
