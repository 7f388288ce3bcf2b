"""A private certificate authority, and a real nginx as in docs/access.md."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from spotwave.deployments.home import ROOT
from tests.services import nginx

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """Signs certificates for 127.0.0.1; its own certificate is `pem`, also in `file`."""

    folder: Path

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    @property
    def pem(self) -> str:
        return self.file.read_text()


def authority(folder: Path) -> Authority:
    """Create an authority, and the server's certificate and key in `fullchain.pem` and `privkey.pem`."""
    folder.mkdir(exist_ok=True)
    own, its = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "an authority of one's own")])
    server = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    ca = x509.BasicConstraints(ca=True, path_length=0)
    signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # signs certificates only
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    key_id = x509.SubjectKeyIdentifier.from_public_key(own.public_key())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(own.public_key())
    root = _certificate_builder(name, name, own).add_extension(ca, critical=True).add_extension(signs, critical=True)
    root = root.add_extension(key_id, critical=False)
    leaf = (
        _certificate_builder(server, name, its)
        .add_extension(here, critical=False)
        .add_extension(issuer, critical=False)
    )
    found = Authority(folder)
    pem = serialization.Encoding.PEM
    found.file.write_bytes(root.sign(own, hashes.SHA256()).public_bytes(pem))
    (folder / "fullchain.pem").write_bytes(leaf.sign(own, hashes.SHA256()).public_bytes(pem))
    private = its.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "privkey.pem").write_bytes(private)
    return found


def _certificate_builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - _DAY).not_valid_after(now + _DAY)


@contextmanager
def behind_nginx(url: str, own: Authority) -> Iterator[str]:
    """Run an nginx that does TLS in front of `url` (without a path), as in docs/access.md; yield its address."""
    page = (ROOT / "docs/access.md").read_text()
    found = re.search(r"```nginx\nserver \{\n(.*?)\n\}\n```", page, re.DOTALL)
    assert found is not None
    server = "\n".join(line for line in found[1].splitlines() if not line.strip().startswith(("listen", "server_name")))
    server = server.replace("http://127.0.0.1:4280;", f"{url};")
    server = server.replace("/etc/letsencrypt/live/machines.example.org", str(own.folder))
    assert url in server
    assert str(own.folder) in server
    with nginx(server, own.folder, tls=True) as port:
        yield f"https://127.0.0.1:{port}"


def context(own: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=own.file)
