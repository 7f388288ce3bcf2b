"""uv with the settings of pip: `python -I deployments/uv_as_pip.py pip sync ...`

Where an index of one's own is needed, it is pip that has been told of it (pip.conf, PIP_*), and uv reads none of that.
What is set for uv itself goes first. Standard library only: it runs before anything is installed, by `make`.
"""

from __future__ import annotations

import ast
import os
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_LATER_ONES_COUNT = ("global.", "install.", ":env:.")  # sections of pip's configuration
# pip's name -> uv's variable, what separates several values there, and variables that say the same
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


def pips_settings() -> dict[str, str]:
    """As `pip install` would read them. Raises CalledProcessError where pip cannot."""
    command = [sys.executable, "-I", "-m", "pip", "config", "list"]
    as_itself = {**os.environ, "PIP_USER": "0"}  # to which `config` lends a meaning of its own: the user's file alone
    said = subprocess.run(command, env=as_itself, stdout=subprocess.PIPE, text=True, check=True).stdout
    found: dict[str, str] = {}
    for section in _LATER_ONES_COUNT:
        for line in said.splitlines():
            name, _, value = line.partition("=")
            if name.startswith(section):
                found[name.removeprefix(section)] = str(ast.literal_eval(value))
    return found


def for_uv(pips: Mapping[str, str], environment: Mapping[str, str], hashed: bool) -> dict[str, str]:
    """What to add to uv's environment. hashed: whether the lock file names the hash of each file that is installed."""
    added: dict[str, str] = {}
    for name, (variable, separator, alike) in _NAMES.items():
        if pips.get(name) and not any(environment.get(one) for one in (variable, *alike)):
            added[variable] = separator.join(pips[name].split())
    if "UV_INDEX" in added and hashed:
        # As pip does: of all indexes whatever fits. Else the first that knows a package by its name hides the others.
        added["UV_INDEX_STRATEGY"] = environment.get("UV_INDEX_STRATEGY", "unsafe-best-match")
    if ssl.create_default_context().cert_store_stats()["x509_ca"]:
        # As pip does: whom this computer believes, which may be a company's own proxy. uv brings a list of its own.
        added["UV_SYSTEM_CERTS"] = environment.get("UV_SYSTEM_CERTS", "1")
    return added


def main() -> None:
    uv = Path(sys.executable).with_name("uv")
    try:
        added = for_uv(pips_settings(), os.environ, "--require-hashes" in sys.argv)
    except subprocess.CalledProcessError as error:
        sys.exit(f"environment: `pip config list` ended with {error.returncode}: correct pip's configuration")
    os.execve(uv, [str(uv), *sys.argv[1:]], {**os.environ, **added})  # noqa: S606


if __name__ == "__main__":
    main()
