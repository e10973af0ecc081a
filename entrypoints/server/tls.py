"""A check of the server's certificate and key before the start."""

import ssl
from pathlib import Path

from entrypoints.errors import StartError

KINDS = {"TLS_CERTIFICATE": "-----BEGIN CERTIFICATE-----", "TLS_KEY": "PRIVATE KEY-----"}


def check(certificate: Path, key: Path) -> None:
    """Raise StartError if a file can't be read, is not in PEM, or if the two do not match."""
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


def _check_file(name: str, path: Path) -> None:
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise StartError(f"{name}: {path} can't be read: {error.strerror}. Let this user read it.") from None
    if KINDS[name] not in text:
        raise StartError(f"{name}: {path} is not in PEM: it has no line {KINDS[name]!r} in it.")
    if "ENCRYPTED" in text:
        raise StartError(f"{name}: {path} has a password. Take it off: openssl pkey -in {path} -out another.")
