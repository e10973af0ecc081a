"""The parameters that libraries and hosting providers put into the URL of a database, and their meaning here.

It is honoured, ignored with a line in the log, or refused. The adapters take libpq's names, for MariaDB too.
"""

from collections.abc import Callable, Mapping

Rule = Callable[[str], Mapping[str, str]]
"""Returns the parameters of the adapter that a value stands for. Raises ValueError with what is allowed, or Ignored."""


class Ignored(Exception):
    """A parameter has no effect. The message says why."""


SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
MODES = {
    **{mode: mode for mode in SSLMODES},
    # of MySQL and MariaDB
    "disabled": "disable",
    "preferred": "prefer",
    "required": "require",
    "verify-identity": "verify-full",
    # of JDBC and Prisma
    "trust": "require",
    "accept-invalid-certs": "require",
    "strict": "verify-full",
}
BOOLEANS = {**dict.fromkeys(["true", "1", "yes", "on"], True), **dict.fromkeys(["false", "0", "no", "off"], False)}
LONGEST_WAIT = 3600  # seconds


def _as(name: str) -> Rule:
    """Return a rule that takes any text as the parameter `name` of the adapter."""

    def rule(value: str) -> Mapping[str, str]:
        if not value:
            raise ValueError("it is empty.")
        return {name: value}

    return rule


def _ignored(reason: str, *values: str) -> Rule:
    """Return a rule that ignores the parameter. If there are `values`, it refuses all others."""

    def rule(value: str) -> Mapping[str, str]:
        if values and value.lower() not in values:
            raise ValueError(f"allowed: {', '.join(values)}.")
        raise Ignored(reason)

    return rule


def _refused(instead: str) -> Rule:
    def rule(_: str) -> Mapping[str, str]:
        raise ValueError(instead)

    return rule


def _mode(value: str) -> Mapping[str, str]:
    mode = MODES.get(value.lower().replace("_", "-"))
    if mode is None:
        raise ValueError(f"allowed: {', '.join(SSLMODES)}.")
    return {"sslmode": mode}


def _tls(value: str) -> Mapping[str, str]:
    return {"sslmode": "require" if _boolean(value) else "disable"}


def _boolean(value: str) -> bool:
    if value.lower() not in BOOLEANS:
        raise ValueError("allowed: true, false.")
    return BOOLEANS[value.lower()]


def _pgbouncer(value: str) -> Mapping[str, str]:
    if not _boolean(value):
        raise Ignored("a pooler is recognised where there is one.")
    return {"pgbouncer": "true"}


def _channel_binding(value: str) -> Mapping[str, str]:
    if value == "require":
        return {"channel_binding": value}
    return _ignored("the server is known by its certificate, with sslmode=verify-full.", "disable", "prefer")(value)


def _connect_timeout(value: str) -> Mapping[str, str]:
    if not value.isdecimal() or not 1 <= int(value) <= LONGEST_WAIT:
        raise ValueError(f"it takes 1 to {LONGEST_WAIT} seconds.")
    return {"connect_timeout": str(int(value))}


def _folder(value: str) -> Mapping[str, str]:
    if not value.startswith("/") or "," in value:
        raise ValueError(
            "it takes the folder of a Unix socket. Write the name of a host before the name of the database."
        )
    return {"host": value}


def _port(value: str) -> Mapping[str, str]:
    if not value.isdecimal() or not 1 <= int(value) <= 65535:
        raise ValueError("it takes a number from 1 to 65535.")
    return {"port": str(int(value))}


def _socket(value: str) -> Mapping[str, str]:
    if not value.startswith("/"):
        raise ValueError("it takes the path of a Unix socket.")
    return {"unix_socket": value}


def _ignoring(reason: str, *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, _ignored(reason))


def _refusing(instead: str, *names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, _refused(instead))


# By names in lower case, without `-` and `_`. Others are refused.
_COMMON: dict[str, Rule] = {
    **dict.fromkeys(["sslmode", "sslaccept"], _mode),
    **dict.fromkeys(["ssl", "usessl", "requiressl", "tls"], _tls),
    **dict.fromkeys(["sslrootcert", "sslca", "serversslcert"], _as("sslrootcert")),
    "sslcert": _as("sslcert"),
    "sslkey": _as("sslkey"),
    "connecttimeout": _connect_timeout,
    **_ignoring("text is always sent as UTF-8.", "charset", "encoding", "clientencoding", "characterencoding"),
    **_ignoring("set DATABASE_CONNECTIONS.", "connectionlimit", "pool", "poolsize", "maxpoolsize", "maxconnections"),
    **_ignoring("Drivebay has its own pool and its own deadlines.", "pooltimeout", "poolrecycle", "maxoverflow"),
    **_ignoring("Drivebay has its own deadlines.", "timeout", "sockettimeout", "readtimeout", "writetimeout"),
    **_ignoring("times are read without a zone.", "timezone", "servertimezone", "tz", "parsetime", "loc"),
    **_ignoring("Drivebay asks the server.", "serverversion"),
    **_ignoring("Drivebay decides when to commit.", "autocommit", "autoreconnect", "reconnect"),
    **_refusing("write it before the host.", "user", "username", "password"),
    **_refusing("write it after the host.", "dbname", "database", "db"),
    **_refusing("lists of revoked certificates are not read.", "sslcrl", "sslcrldir"),
    **_refusing("give a key that has none.", "sslpassword", "sslkeypassword"),
}

POSTGRESQL: dict[str, Rule] = _COMMON | {
    "host": _folder,
    "port": _port,
    "applicationname": _as("application_name"),
    "fallbackapplicationname": _as("application_name"),
    "pgbouncer": _pgbouncer,
    "channelbinding": _channel_binding,
    "targetsessionattrs": _ignored("only a server that takes writes is used.", "any", "read-write", "primary"),
    "schema": _ignored("it is the default.", "public"),
    "sslnegotiation": _ignored("it is the default.", "postgres"),
    "gssencmode": _ignored("TLS is used instead.", "disable", "prefer"),
    "sslcompression": _ignored("nothing is compressed.", "0", "1"),
    "sslsni": _ignored("the host is always named.", "1"),
    **_ignoring(
        "Drivebay finds out whether statements can be prepared.",
        *("statementcachesize", "preparedstatementcachesize", "preparedstatements", "preparethreshold"),
    ),
    **_ignoring(
        "Drivebay has its own deadlines.",
        *("keepalives", "keepalivesidle", "keepalivesinterval", "keepalivescount", "tcpusertimeout"),
    ),
    **_refusing("set it for the role: ALTER ROLE ... SET ...", "options", "searchpath", "currentschema"),
}

MARIADB: dict[str, Rule] = _COMMON | {
    **dict.fromkeys(["unixsocket", "socket", "localsocket"], _socket),
    **_ignoring("text is always sent as UTF-8.", "collation", "useunicode"),
    **_ignoring("Drivebay sets its own.", "sqlmode", "transactionisolation"),
    **_ignoring("statements are sent one by one.", "multistatements", "allowmultiqueries", "localinfile"),
    **_ignoring("MariaDB has nothing of that kind.", "applicationname", "programname", "allowpublickeyretrieval"),
    **_refusing(
        "say it by ssl-mode, as VERIFY_CA or VERIFY_IDENTITY.",
        *("sslverifycert", "sslverifyidentity", "sslcheckhostname", "sslverifyservercert", "sslverify"),
        *("verifyservercertificate", "rejectunauthorized"),
    ),
}
