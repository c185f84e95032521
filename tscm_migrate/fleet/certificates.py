"""Create the certificates of a cluster: one authority, and one certificate that scheduler, workers and clients share.

Dask runs whatever a connected client sends, so everyone with this key can run code on every worker.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import UsageError
from tscm_migrate.util import private

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILES = ("ca.pem", "cluster.pem", "cluster.key")
_DAYS = 825
_SKEW = timedelta(minutes=5)  # between the clocks of the machines


def create(folder: Path, hosts: Sequence[str], *, days: int = _DAYS) -> None:
    """Write ca.pem, cluster.pem and cluster.key (0600) into a folder. The authority's key is not kept.

    Args:
        folder: created where it is missing, readable by its owner only.
        hosts: names and addresses at which scheduler and workers are reached.
        days: until the certificates expire.

    Raises:
        UsageError: one of the files exists already, or no host was given.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    if not hosts:
        raise UsageError("no host was given", "name the machines: --host scheduler.example.net --host 10.0.0.5")
    private.folder(folder)
    if taken := [folder / name for name in FILES if (folder / name).exists()]:
        raise UsageError(f"{taken[0]} exists already", "choose another folder, or remove the old certificates")
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    now = datetime.now(UTC)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    def builder(subject: str, public: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject)).issuer_name(name("tscm-migrate cluster authority"))
            .public_key(public).serial_number(x509.random_serial_number())
            .not_valid_before(now - _SKEW).not_valid_after(now + timedelta(days=days))
        )  # fmt: skip

    ca = builder("tscm-migrate cluster authority", authority.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    shared = builder("tscm-migrate cluster", key.public_key()).add_extension(
        x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    signed = [made.sign(authority, hashes.SHA256()).public_bytes(pem) for made in (ca, shared)]
    for file, content in zip(FILES, [*signed, secret], strict=True):
        private.write(folder / file, content)


def _host(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
