"""TLS to a database server."""

import ssl
from dataclasses import dataclass
from typing import Self

from sqlalchemy import URL

from domain.errors import BlobError, Unavailable

# Of OpenSSL (X509_V_ERR_...).
OTHER_NAME = {62, 64}  # a host name, an IP address
UNKNOWN_AUTHORITY = {2, 18, 19, 20, 21}
DATES = {9, 10}


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS settings of a connection, by libpq's parameters.

    `mode` is one of libpq's: `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`; None if unset.
    `authority` is a PEM file with the authorities to trust, or `system` for the system's. `certificate` and
    `key` are PEM files that show the server who the client is.
    """

    mode: str | None = None
    authority: str | None = None
    certificate: str | None = None
    key: str | None = None

    @classmethod
    def from_url(cls, url: URL) -> Self:
        names = ("sslmode", "sslrootcert", "sslcert", "sslkey")
        mode, *files = (str(url.query[name]) if name in url.query else None for name in names)
        return cls(mode, *files)

    @property
    def is_required(self) -> bool:
        """Whether a connection without TLS is refused."""
        return self.mode in ("require", "verify-ca", "verify-full")

    @property
    def is_verified(self) -> bool:
        """Whether the certificate is verified. As in libpq, `require` does so if there is an `authority`."""
        return self.mode in ("verify-ca", "verify-full") or (self.mode == "require" and self.authority is not None)

    def context(self) -> ssl.SSLContext:
        """Return the context for the handshake. Raises UNAVAILABLE if a file can't be used."""
        context = self._verifying_context() if self.is_verified else _unverified_context()
        if self.certificate is not None:
            try:
                # An empty password, because OpenSSL would ask for one at the terminal.
                context.load_cert_chain(self.certificate, self.key, password="")
            except OSError as error:
                raise _unusable("sslcert", self.certificate, error) from error
        return context

    def _verifying_context(self) -> ssl.SSLContext:
        authority = None if self.authority == "system" else self.authority
        try:
            context = ssl.create_default_context(cafile=authority)
        except OSError as error:
            raise _unusable("sslrootcert (or ssl-ca)", authority, error) from error
        if authority is not None:
            # Certificates of many database authorities violate the strict rules. libpq is not strict either.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.check_hostname = self.mode == "verify-full"
        return context


def advice(error: ssl.SSLCertVerificationError) -> str:
    """Return advice about an invalid certificate."""
    if error.verify_code in OTHER_NAME:
        return "Use a host name that is in the certificate."
    if error.verify_code in UNKNOWN_AUTHORITY:
        return "Set sslrootcert (or ssl-ca) to a PEM file with the authority that signed it."
    if error.verify_code in DATES:
        return "Renew it at the server, or set the clock of this machine."
    return "Replace it at the server."


def _unverified_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without the system's authorities, which take 20 ms to load
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _unusable(parameter: str, path: str | None, error: OSError) -> BlobError:
    return Unavailable(f"The file {path} that {parameter} names can't be used: {error}.")
