"""A check of the server's certificate and key before the start."""

import ssl
from pathlib import Path

from entrypoints.errors import StartError

KINDS = {"TLS_CERTIFICATE": "-----BEGIN CERTIFICATE-----", "TLS_KEY": "PRIVATE KEY-----"}
# The algorithms and curves of keys (RFC 5280, section 4.1.2.7; RFC 5480; RFC 8410) that rustls takes, as DER has them.
RSA = bytes.fromhex("2a864886f70d010101")
ELLIPTIC = bytes.fromhex("2a8648ce3d0201")
ED25519 = bytes.fromhex("2b6570")
CURVES = (bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2b81040022"))  # P-256, P-384
RSA_BITS = (2048, 3072, 4096)
LEAST_EXPONENT = 65537
VERSION_3 = bytes.fromhex("020102")


def check(certificate: Path, key: Path) -> None:
    """Raise StartError if a file can't be read or used, is not in PEM, or if the two do not match.

    What OpenSSL takes and rustls does not is refused here: workers would end at their start, again and again.
    """
    for name, path in (("TLS_CERTIFICATE", certificate), ("TLS_KEY", key)):
        _check_file(name, path)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # An empty password, because OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            problem = f"TLS_KEY: {key} is not the key of {certificate}, or that does not begin with the server's own."
        else:
            problem = f"TLS_CERTIFICATE, TLS_KEY: {certificate} and {key} can't be used: {error.reason or error}."
        raise StartError(problem) from None
    text = certificate.read_text(errors="replace")
    end = text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
    _check_certificate(certificate, ssl.PEM_cert_to_DER_cert(text[text.index(ssl.PEM_HEADER) : end]))


def _check_certificate(path: Path, der: bytes) -> None:
    [whole] = _elements(der)
    first, *others = _elements(_elements(whole)[0])
    if first != VERSION_3:
        raise StartError(f"TLS_CERTIFICATE: {path} is of X.509 version 1. Make one of version 3: openssl req -x509.")
    key = others[5]
    algorithm, *parameters = _elements(_elements(key)[0])
    is_known = algorithm == ED25519 or (algorithm == ELLIPTIC and parameters[0] in CURVES)
    if algorithm == RSA:
        modulus, exponent = map(int.from_bytes, _elements(_elements(_elements(key)[1][1:])[0]))
        is_known = modulus.bit_length() in RSA_BITS and exponent >= LEAST_EXPONENT
    if not is_known:
        text = "Use one of P-256, P-384 or Ed25519, or RSA with 2,048, 3,072 or 4,096 bits."
        raise StartError(f"TLS_CERTIFICATE, TLS_KEY: the key of {path} is of a kind that can't be used. {text}")


def _elements(der: bytes) -> list[bytes]:
    """Return the contents of the elements that follow one another in DER (X.690, section 8.1)."""
    found, at = list[bytes](), 0
    while at < len(der):
        size, at = der[at + 1], at + 2
        if size & 0x80:
            digits = size & 0x7F
            size, at = int.from_bytes(der[at : at + digits]), at + digits
        found.append(der[at : at + size])
        at += size
    return found


def _check_file(name: str, path: Path) -> None:
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise StartError(f"{name}: {path} can't be read: {error.strerror}. Let this user read it.") from None
    if KINDS[name] not in text:
        raise StartError(f"{name}: {path} is not in PEM: it has no line {KINDS[name]!r} in it.")
    if "ENCRYPTED" in text:
        raise StartError(f"{name}: {path} has a password. Take it off: openssl pkey -in {path} -out another.")
