"""Oddities of real FTP servers and networks, one line each."""

import re
import socket
from contextlib import ExitStack

from tests.contracts.ftp_script import Answer, Asked, Oddity

STAY_OPEN = ExitStack()  # sockets, for as long as the process


def says(command: str, answer: str, usual: str = "") -> Oddity:
    """Replace the reply to a command if the usual one has this prefix."""
    return lambda asked, reply: answer if asked.command == command and reply.startswith(usual) else reply


def rewrites(command: str, pattern: str, replacement: str) -> Oddity:
    """Change the wording of replies."""
    return lambda asked, reply: re.sub(pattern, replacement, reply) if re.fullmatch(command, asked.command) else reply


def port(command: str, number: int) -> Oddity:
    """Reply with another port than that of the server."""
    return rewrites(command, r"\d+(?=\|\))", str(number))


def of_an_empty_folder(answer: str) -> Oddity:
    """Change the reply to NLST for an empty folder."""

    def odd(asked: Asked, reply: str) -> Answer:
        is_empty = asked.command == "NLST" and reply.startswith("1") and not asked.server.names(asked.path)
        return answer if is_empty else reply

    return odd


def epsv_gets_pasv(asked: Asked, reply: str) -> Answer:
    if asked.command != "EPSV":
        return reply
    return f"227 Here (127,0,0,1,{asked.port // 256},{asked.port % 256})"


def append_replaces(asked: Asked, reply: str) -> Answer:
    if asked.command == "APPE":
        asked.server.files.pop(asked.path, None)
    return reply


def names_the_file(asked: Asked, reply: str) -> Answer:
    """Add words to the replies to SIZE and MDTM."""
    return re.sub(r"^213 (.*)", rf"213 {asked.path}: \1 (in octets, or in UTC)", reply)


def of_many_lines(asked: Asked, reply: str) -> Answer:
    """Add lines before the final one: with the code, another code, and none."""
    return f"{reply[:3]}-Note:\r\n199 is not the code of this reply, 17\r\n\r\n{reply}" if reply[3] == " " else reply


def refused_port() -> int:
    """Reserve a port on which no server listens."""
    held = STAY_OPEN.enter_context(socket.socket())
    held.bind(("127.0.0.1", 0))
    number: int = held.getsockname()[1]
    return number


def silent_port() -> int:
    """Open a port that drops packets, like a firewall: its accept queue is full."""
    listener = STAY_OPEN.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    number: int = listener.getsockname()[1]
    for _ in range(3):
        waiting = STAY_OPEN.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(("127.0.0.1", number))
    return number


# Other codes with the same meaning.
CODES = {"220": "200", "250": "200", "257": "250", "226": "250", "150": "125", "331": "331", "350": "300", "230": "202"}


def other_codes(_: Asked, reply: str) -> Answer:
    return CODES.get(reply[:3], reply[:3]) + reply[3:]


# With each of these, a store has to keep its contract.
HARMLESS: dict[str, Oddity] = {
    "SIZE of a missing file is 450": says("SIZE", "450 Not found.", usual="550"),
    "RETR of a missing file is 551": says("RETR", "551 Not found.", usual="550"),
    "DELE of a missing file is 450": says("DELE", "450 Not found.", usual="550"),
    "MKD of an existing folder is 521": says("MKD", "521 It is there.", usual="550"),
    "EPSV is not known": says("EPSV", "502 What?"),
    "227 without parentheses": rewrites("PASV", r"\((.*)\)", r"=\1 "),
    "227 names a private address": rewrites("PASV", "127,0,0,1", "10,0,0,7"),
    "NLST of an empty folder is 550": of_an_empty_folder("550 No files found."),
    "REST is not known": says("REST", "502 What?"),
    "MDTM is not known": says("MDTM", "500 What?"),
    "words around numbers": names_the_file,
    "other codes": other_codes,
    "replies of many lines": of_many_lines,
}
# Other forms of some of them.
VARIETIES: dict[str, Oddity] = {
    "EPSV gets 500": says("EPSV", "500 What?"),
    "EPSV gets 522": says("EPSV", "522 Network protocol not supported, use (1)"),
    "EPSV gets 550": says("EPSV", "550 Permission denied."),
    "EPSV gets 451": says("EPSV", "451 Try again later."),
    "EPSV gets nonsense": says("EPSV", "229 Somewhere"),
    "EPSV gets 227": epsv_gets_pasv,
    "EPSV names the address": rewrites("EPSV", r"\|\|\|", "|1|10.0.0.7|"),
    "EPSV without parentheses": rewrites("EPSV", r"[()]", ""),
    "EPSV with other marks": rewrites("EPSV", r"\|", "!"),
    "NLST of an empty folder is 450": of_an_empty_folder("450 No files found."),
    "NLST of an empty folder is 226": of_an_empty_folder("226 Nothing to send."),
    "REST gets 501": says("REST", "501 What?"),
    "REST gets 550": says("REST", "550 Not for this file."),
    "SIZE is not known": says("SIZE", "500 What?"),
    "NLST is not known": says("NLST", "502 What?"),
    "APPE replaces the file": append_replaces,
}
