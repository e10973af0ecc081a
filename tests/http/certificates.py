"""Certificates of the tests' own making."""

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

Key = ec.EllipticCurvePrivateKey | ed448.Ed448PrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
Kind = Callable[[], Key]


def _rsa(bits: int, exponent: int = 65537) -> Kind:
    return lambda: rsa.generate_private_key(exponent, bits)


def _elliptic(curve: ec.EllipticCurve) -> Kind:
    return lambda: ec.generate_private_key(curve)


USUAL = _elliptic(ec.SECP256R1())
TAKEN: dict[str, Kind] = {
    "P-384": _elliptic(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA": _rsa(2048),
    "RSA of 3,072 bits": _rsa(3072),
}
"""Kinds of keys that rustls takes. `USUAL` is another one."""
REFUSED: dict[str, Kind] = {
    "P-521": _elliptic(ec.SECP521R1()),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "RSA of 2,560 bits": _rsa(2560),
    "RSA with a small exponent": _rsa(2048, 3),
}
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "drivebay")])
ADDRESS = "127.0.0.1"


def make(
    folder: Path, name: str = "server", places: Sequence[str] = ("localhost", ADDRESS), kind: Kind = USUAL
) -> tuple[Path, Path]:
    """A certificate for `places` that is its own authority, and its key."""
    names = [x509.IPAddress(IPv4Address(place)) if place == ADDRESS else x509.DNSName(place) for place in places]
    key = kind()
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(NAME, NAME, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) else None)
    )
    path = folder / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path, _write(key, folder / f"{name}.key", NoEncryption())


def lock(key: Path, path: Path) -> Path:
    """The same key, behind a password."""
    opened = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(opened, ec.EllipticCurvePrivateKey)
    return _write(opened, path, BestAvailableEncryption(b"password"))


def as_version_1(certificate: Path, key: Path, path: Path) -> Path:
    """The same certificate as `openssl x509 -req` makes it up to version 3.0: without extensions, of version 1."""
    opened = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(opened, ec.EllipticCurvePrivateKey)
    whole = x509.load_pem_x509_certificate(certificate.read_bytes()).tbs_certificate_bytes
    _, *elements, _ = _elements(whole[2 + (whole[1] & 0x7F) :])  # without the version, and without the extensions
    contents = _element(0x30, b"".join(elements))
    algorithm = elements[1]
    signature = _element(0x03, b"\0" + opened.sign(contents, ec.ECDSA(hashes.SHA256())))
    path.write_text(ssl.DER_cert_to_PEM_cert(_element(0x30, contents + algorithm + signature)))
    return path


def _elements(der: bytes) -> list[bytes]:
    found, at = list[bytes](), 0
    while at < len(der):
        digits = der[at + 1] & 0x7F if der[at + 1] & 0x80 else 0
        size = int.from_bytes(der[at + 2 : at + 2 + digits]) if digits else der[at + 1]
        found.append(der[at : at + 2 + digits + size])
        at += 2 + digits + size
    return found


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x82, *size.to_bytes(2)])
    return bytes([tag]) + length + content


def _write(key: Key, path: Path, encryption: KeySerializationEncryption) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return path
