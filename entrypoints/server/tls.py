"""The certificate and the key of the server, tried before it starts."""

import ssl
from pathlib import Path

from entrypoints.errors import StartError

KINDS = {"TLS_CERTIFICATE": "-----BEGIN CERTIFICATE-----", "TLS_KEY": "PRIVATE KEY-----"}


def check(certificate: Path, key: Path) -> None:
    """Raises StartError if they can't be read, are not in PEM, or do not belong together."""
    for name, path in (("TLS_CERTIFICATE", certificate), ("TLS_KEY", key)):
        _check_file(name, path)
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # Without a password of ours, it would ask for one on the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as fault:
        if fault.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            problem = f"TLS_KEY: {key} is not the key of {certificate}, or that does not begin with the server's own."
        else:
            problem = f"TLS_CERTIFICATE, TLS_KEY: {certificate} and {key} can't be used: {fault.reason or fault}."
        raise StartError(problem) from None


def _check_file(name: str, path: Path) -> None:
    try:
        text = path.read_text(errors="replace")
    except OSError as fault:
        raise StartError(f"{name}: {path} can't be read: {fault.strerror}. Let this user read it.") from None
    if KINDS[name] not in text:
        raise StartError(f"{name}: {path} is not in PEM: it has no line {KINDS[name]!r} in it.")
    if "ENCRYPTED" in text:
        raise StartError(f"{name}: {path} has a password. Take it off: openssl pkey -in {path} -out another.")
