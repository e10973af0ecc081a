"""A lenient parser for replies: servers differ in codes, lines and words.

A reply code is compared by its first digits, as RFC 959, section 4.2, asks of clients: "2" is any success.
"""

import re
from datetime import UTC, datetime

PRELIMINARY = "1"
DONE = "2"
GO_ON = "3"
# Success, but not the success of a transfer (22x) or a login (23x): these belong to another command.
COMPLETED = ("20", "25")
LOGGED_IN = ("20", "23")
INFORMATION = ("21", *COMPLETED)
# The file or folder is absent, denied or busy. The code does not distinguish these.
NOT_AVAILABLE = ("450", "550", "551", "553")
NOT_FOUND = "550"  # if the folder is accessible. Servers send the others also for files that exist.
NOT_IMPLEMENTED = ("500", "501", "502", "504", "522")

MARK = r"[!-/:-@\[-`{-~]"
# (<d><d><d><tcp-port><d>) by RFC 2428, section 3. Some servers name the network and the address between the marks.
EXTENDED = re.compile(rf"({MARK})\d?\1[^|()\s]*\1(\d{{1,5}})\1", re.ASCII)
PASSIVE = re.compile(r"(?<!\d)" + r"\s*,\s*".join([r"(\d{1,3})"] * 6) + r"(?!\d)", re.ASCII)
NUMBER = re.compile(r"(?<![\w-])(?<!\d[.,:])\d+(?![\w-]|[.,:]\d)", re.ASCII)
TIME = re.compile(r"(?<!\d)\d{14}(?!\d)", re.ASCII)  # in UTC (RFC 3659, section 2.3)


def port_of(code: str, text: str) -> int:
    """Return the port of a reply to EPSV or PASV. The format depends on the code: some servers reply 227 to both.

    The address in a 227 is ignored: behind NAT it is private, and it could point to another host. Raises ValueError.
    """
    if code == "229" and (found := EXTENDED.search(text)):
        port = int(found[2])
    elif code == "227" and (found := PASSIVE.search(text)):
        port = int(found[5]) * 256 + int(found[6])
    else:
        port = 0
    if not 0 < port < 2**16:
        raise ValueError(f"it names no port: {code} {text}")
    return port


def number_in(text: str) -> int:
    """Return the only number in the last line that has just one. Raises ValueError if there is no such line."""
    for line in reversed(text.splitlines()):
        numbers = NUMBER.findall(line)
        if len(numbers) == 1:
            return int(numbers[0])
    raise ValueError(f"it names no size: {text!r}")


def words_about(path: str, text: str) -> str:
    """Return the text of a reply without the path or its last name, which may have digits."""
    if text.strip().isdecimal():
        return text  # a number only, which may be a name too
    return text.replace(path, "").replace(path.rpartition("/")[2], "")


def time_in(text: str) -> datetime | None:
    """Return the time in a text, or None. Raises ValueError if it is not a date."""
    found = TIME.search(text)
    return datetime.strptime(f"{found[0]}+0000", "%Y%m%d%H%M%S%z").astimezone(UTC) if found else None


def path_in(text: str) -> str:
    """Return the path in a reply to PWD, whose quotes are doubled (RFC 959, appendix II). Raises ValueError."""
    found = re.search(r'"((?:[^"]|"")*)"', text)
    if found is None:
        raise ValueError(f"it names no folder: {text!r}")
    return found[1].replace('""', '"')


def facts_in(text: str) -> dict[str, str]:
    """Return the facts of an entry of MLST or MLSD (RFC 3659, section 7.2), by their names in lower case.

    The name of the entry follows them, and may look like a fact, so the first one of each counts.
    """
    pairs = [fact.rpartition(" ")[2].partition("=") for fact in text.replace("\n", " ").split(";")]
    return {name.lower(): value for name, found, value in reversed(pairs) if found}


def names_in(listing: bytes, *, with_facts: bool) -> list[str]:
    """Return the names of a listing by NLST, which may be paths, or `with_facts` by MLSD."""
    lines = listing.decode(errors="replace").splitlines()
    if with_facts:
        lines = [line.partition(" ")[2] for line in lines]
    return [line.rpartition("/")[2] for line in lines]
