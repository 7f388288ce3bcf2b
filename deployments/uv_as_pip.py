"""Run uv with pip's settings: `python -I deployments/uv_as_pip.py pip sync ...`

Users of a private package index usually configure it for pip (pip.conf, PIP_*), which uv does not read. Settings of uv
itself take precedence. Standard library only: `make` runs this before anything is installed.
"""

from __future__ import annotations

import ast
import os
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_SECTIONS = ("global.", "install.", ":env:.")  # of pip's configuration; later ones override earlier ones
# pip's name -> uv's variable, separator of several values, and other variables with the same meaning
_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " ", ("UV_INDEX_URL",)),
    "extra-index-url": ("UV_INDEX", " ", ("UV_EXTRA_INDEX_URL",)),
    "find-links": ("UV_FIND_LINKS", ",", ()),
    "trusted-host": ("UV_INSECURE_HOST", " ", ()),
    "no-index": ("UV_NO_INDEX", " ", ()),
    "default-timeout": ("UV_HTTP_TIMEOUT", " ", ()),
    "timeout": ("UV_HTTP_TIMEOUT", " ", ()),
    "cert": ("SSL_CERT_FILE", " ", ()),
    "proxy": ("ALL_PROXY", " ", ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "all_proxy")),
}


def pip_settings() -> dict[str, str]:
    """Return pip's settings as `pip install` reads them. Raises CalledProcessError if pip cannot read them."""
    command = [sys.executable, "-I", "-m", "pip", "config", "list"]
    environment = {**os.environ, "PIP_USER": "0"}  # PIP_USER=1 would restrict `pip config` to the user's file
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, str] = {}
    for section in _SECTIONS:
        for line in output.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                found[name.removeprefix(section)] = str(ast.literal_eval(value))
    return found


def for_uv(pips: Mapping[str, str], environment: Mapping[str, str], hashed: bool) -> dict[str, str]:
    """Return variables to add to uv's environment. hashed: whether the lock file has a hash for each package file."""
    added: dict[str, str] = {}
    for name, (variable, separator, alike) in _NAMES.items():
        if pips.get(name) and not any(environment.get(one) for one in (variable, *alike)):
            added[variable] = separator.join(pips[name].split())
    if "UV_INDEX" in added and hashed:
        # As pip does: consider all indexes. By default, uv uses only the first index that has the package.
        added["UV_INDEX_STRATEGY"] = environment.get("UV_INDEX_STRATEGY", "unsafe-best-match")
    if ssl.create_default_context().cert_store_stats()["x509_ca"]:
        # As pip does: use the system's certificates, which may include a company's proxy. uv has its own list.
        added["UV_SYSTEM_CERTS"] = environment.get("UV_SYSTEM_CERTS", "1")
    return added


def main() -> None:
    uv = Path(sys.executable).with_name("uv")
    try:
        added = for_uv(pip_settings(), os.environ, "--require-hashes" in sys.argv)
    except subprocess.CalledProcessError as error:
        sys.exit(f"environment: `pip config list` ended with {error.returncode}: correct pip's configuration")
    os.execve(uv, [str(uv), *sys.argv[1:]], {**os.environ, **added})  # noqa: S606


if __name__ == "__main__":
    main()
