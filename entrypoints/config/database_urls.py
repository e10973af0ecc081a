"""The URL of the database, in the many forms that hosting providers issue it."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from entrypoints.config.database_parameters import MARIADB, POSTGRESQL, Ignored, Rule


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A URL in the form of the adapters, and a line for each parameter that was ignored."""

    text: str
    ignored: tuple[str, ...] = ()


def postgresql(rest: str) -> DatabaseUrl:
    """Parse the part of a URL after the scheme. Raises ValueError."""
    form = "PostgreSQL takes postgresql://user:password@host:port/name, or postgresql://user@/name?host=/folder."
    return _read("postgresql", rest, form, POSTGRESQL, socket="host")


def mariadb(rest: str) -> DatabaseUrl:
    """Parse the part of a URL after the scheme. Raises ValueError."""
    form = "MariaDB takes mariadb://user:password@host:port/name, or mariadb://user@/name?unix_socket=/path."
    return _read("mariadb", rest, form, MARIADB, socket="unix_socket")


def _read(scheme: str, rest: str, form: str, rules: Mapping[str, Rule], socket: str) -> DatabaseUrl:
    place, _, query = rest.partition("?")
    honoured, ignored = _sort(parse_qsl(query, keep_blank_values=True), rules, form)
    _check_place(rest, form, needs_host=socket not in honoured)
    _check_tls(honoured)
    if socket in honoured:
        # SQLAlchemy would connect to this host instead of the socket.
        login, at, address = place.rpartition("@")
        place = f"{login}{at}/{address.partition('/')[2]}"
    shown = urlencode(sorted(honoured.items()), safe="/", quote_via=quote)
    return DatabaseUrl(f"{scheme}://{place}{'?' if shown else ''}{shown}", tuple(ignored))


def _sort(pairs: list[tuple[str, str]], rules: Mapping[str, Rule], form: str) -> tuple[dict[str, str], list[str]]:
    """Return the parameters for the adapter, and a line for each that is ignored."""
    honoured: dict[str, str] = {}
    ignored = []
    for name, value in pairs:
        rule = rules.get(name.lower().replace("-", "").replace("_", ""))
        if rule is None:
            if any("@" in part for pair in pairs for part in pair):  # they may be the end of the password
                raise ValueError(f"{form} Write a ? in the password as %3F.")
            raise ValueError(f"the parameter {name} is not known. Take it out of the URL.")
        try:
            meant = rule(value)
        except Ignored as reason:
            ignored.append(f"DATABASE_URL: the parameter {name} has no effect: {reason}")
            continue
        except ValueError as error:
            raise ValueError(f"the parameter {name} can't be honoured: {error}") from None
        if any(honoured.get(each, text) != text for each, text in meant.items()):
            raise ValueError(f"the parameter {name} contradicts another one. Give only one of them.")
        honoured |= meant
    return honoured, ignored


def _check_place(rest: str, form: str, *, needs_host: bool) -> None:
    try:
        url = urlsplit(f"server://{rest}")
        host = (url.hostname or "").encode("idna")
        port = url.port
    except ValueError:
        raise ValueError(form) from None  # its message may have the password
    if (needs_host and not host) or port == 0 or url.netloc.endswith(":") or not url.path.strip("/"):
        raise ValueError(form)
    if url.netloc.count("@") > 1:  # SQLAlchemy would take the password's end for the host, and errors show that
        raise ValueError(f"{form} Write an @ in the password as %40.")


def _check_tls(honoured: dict[str, str]) -> None:
    """Resolve the parameters of TLS that depend on each other."""
    if honoured.pop("channel_binding", "") and honoured.get("sslmode") not in ("verify-ca", "verify-full"):
        # The driver has no channel binding. Its purpose, to authenticate the server, a certificate serves as well.
        honoured["sslmode"] = "verify-full"
    authority, mode = honoured.get("sslrootcert"), honoured.get("sslmode")
    if authority is not None and mode is None:
        honoured["sslmode"] = mode = "verify-full"
    weak = ("disable", "allow", "prefer", "require") if authority == "system" else ("disable", "allow", "prefer")
    if authority is not None and mode in weak:
        raise ValueError("sslrootcert (or ssl-ca) goes with sslmode=verify-full or verify-ca.")
    if ("sslcert" in honoured or "sslkey" in honoured) and mode in (None, "disable", "allow", "prefer"):
        raise ValueError("a certificate of your own (sslcert, sslkey) needs sslmode=require, verify-ca or verify-full.")
    if "sslkey" in honoured and "sslcert" not in honoured:
        raise ValueError("sslkey is the key of a certificate. Give sslcert too.")


def place(url: str) -> str:
    """Return the address of the server and the name of the database, for people."""
    address, _, query = url.rpartition("@")[2].removeprefix("postgresql://").removeprefix("mariadb://").partition("?")
    parameters = dict(parse_qsl(query))
    socket = parameters.get("host") or parameters.get("unix_socket")
    return f"{socket}, {unquote(address.strip('/'))}" if socket else address
