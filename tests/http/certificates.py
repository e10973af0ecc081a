"""Certificates of the tests' own making."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "drivebay")])
ADDRESS = "127.0.0.1"


def make(folder: Path, name: str = "server", places: Sequence[str] = ("localhost", ADDRESS)) -> tuple[Path, Path]:
    """A certificate for `places` that is its own authority, and its key."""
    names = [x509.IPAddress(IPv4Address(place)) if place == ADDRESS else x509.DNSName(place) for place in places]
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(NAME, NAME, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path, _write(key, folder / f"{name}.key", NoEncryption())


def lock(key: Path, path: Path) -> Path:
    """The same key, behind a password."""
    opened = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(opened, ec.EllipticCurvePrivateKey)
    return _write(opened, path, BestAvailableEncryption(b"password"))


def _write(key: ec.EllipticCurvePrivateKey, path: Path, encryption: KeySerializationEncryption) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return path
