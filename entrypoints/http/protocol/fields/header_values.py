"""The values of header fields, taken apart in time that grows with their length only.

No regular expression reads them: one that backtracks lets a short header stop a worker. So each parser passes over its
value once, and values longer than `MAX_SIZE` are not parsed.
"""

import string
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_SIZE = 8 * 1024  # characters
BLANKS = " \t"
TOKEN = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")  # RFC 9110, section 5.6.2
OPAQUE = frozenset(map(chr, (0x21, *range(0x23, 0x7F), *range(0x80, 0x100))))  # section 8.8.3, in latin-1
LONGEST_DATE = len("Wednesday, 01-Jan-25 00:00:00 GMT")
# The three forms of section 5.6.7, without the name of the day that two of them begin with.
DATE_SHAPES = {"00 aaa 0000 00:00:00 aaa", "00-aaa-00 00:00:00 aaa"}
OLD_DATE_SHAPES = {"aaa aaa 00 00:00:00 0000", "aaa aaa  0 00:00:00 0000"}
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SHAPE = str.maketrans(string.digits + string.ascii_letters, "0" * 10 + "a" * 52)


@dataclass(frozen=True, slots=True)
class EntityTag:
    """`opaque` is the tag without its quotes."""

    opaque: str
    is_weak: bool


def is_token(text: str) -> bool:
    return text != "" and TOKEN.issuperset(text)


def tokens(value: str) -> list[str] | None:
    """Return the tokens of a list, which may have empty elements (RFC 9110, section 5.6.1). None if it is invalid."""
    if len(value) > MAX_SIZE:
        return None
    found = [token for each in value.split(",") if (token := each.strip(BLANKS))]
    return found if all(map(is_token, found)) else None


def parameters(value: str) -> dict[str, str] | None:
    """Return the parameters after the first `;`, by their names in lower case, without quotes.

    None if one is malformed or repeated. In quotes a backslash stands for itself, as browsers write names of files: a
    quote closes only where the end or a `;` follows.
    """
    found: dict[str, str] = {}
    rest = value.partition(";")[2].lstrip(BLANKS)
    if len(value) > MAX_SIZE:
        return None
    while rest:
        name, equals, rest = rest.partition("=")
        name = name.rstrip(BLANKS).lower()
        parsed = _parameter_value(rest.lstrip(BLANKS))
        if not equals or not is_token(name) or name in found or parsed is None:
            return None
        found[name], rest = parsed
    return found


def _parameter_value(text: str) -> tuple[str, str] | None:
    """Return the value at the start of `text`, and the rest after its `;`."""
    if not text.startswith('"'):
        value, _, rest = text.partition(";")
        return value.rstrip(BLANKS), rest.lstrip(BLANKS)
    closing = text.find('"', 1)
    while closing >= 0:
        rest = text[closing + 1 :].lstrip(BLANKS)
        if not rest or rest.startswith(";"):
            return text[1:closing], rest[1:].lstrip(BLANKS)
        closing = text.find('"', closing + 1)
    return None


def entity_tags(value: str) -> list[EntityTag] | None:
    """Return the tags of a list, which may have empty elements (RFC 9110, section 5.6.1). None if it is invalid."""
    tags: list[EntityTag] = []
    if len(value) > MAX_SIZE:
        return None
    position = 0
    while True:
        position, commas = _skip(value, position)
        if position == len(value):
            return tags or None
        if tags and not commas:
            return None
        found = _entity_tag(value, position)
        if found is None:
            return None
        tag, position = found
        tags.append(tag)


def _skip(value: str, position: int) -> tuple[int, int]:
    """Return the position after the blanks and commas at `position`, and the number of commas."""
    commas = 0
    while position < len(value) and value[position] in " \t,":
        commas += value[position] == ","
        position += 1
    return position, commas


def _entity_tag(value: str, start: int) -> tuple[EntityTag, int] | None:
    """Return the tag at `start`, and the position after it."""
    is_weak = value.startswith("W/", start)
    opening = start + 2 * is_weak
    closing = value.find('"', opening + 1)
    if not value.startswith('"', opening) or closing < 0:
        return None
    opaque = value[opening + 1 : closing]
    return (EntityTag(opaque, is_weak), closing + 1) if OPAQUE.issuperset(opaque) else None


def http_date(value: str) -> datetime | None:
    """Parse a date in one of the three forms. None if it is not a date: then ignore its header."""
    if len(value) > LONGEST_DATE or not _has_shape_of_date(value):
        return None
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return date.replace(tzinfo=UTC) if date.tzinfo is None else date


def format_date(date: datetime) -> str:
    """Return a date in UTC as a header has it: the first of the three forms, in whole seconds."""
    day, month = DAYS[date.weekday()], MONTHS[date.month - 1]
    return f"{day}, {date.day:02} {month} {date.year:04} {date.hour:02}:{date.minute:02}:{date.second:02} GMT"


def _has_shape_of_date(value: str) -> bool:
    """Return whether `value` has one of the three forms. The library takes others too, and one of several dates."""
    day, comma, rest = value.partition(", ")
    if not comma:
        return value.translate(SHAPE) in OLD_DATE_SHAPES
    return day.isalpha() and rest.translate(SHAPE) in DATE_SHAPES and rest.endswith("GMT")


def quality(parameters: list[str]) -> float:
    """Return the weight in the parameters of an element of Accept (RFC 9110, section 12.4.2): 1 if there is none."""
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip(BLANKS).lower() == "q":
            return _weight(text.strip(BLANKS))
    return 1


def _weight(text: str) -> float:
    whole, _, decimals = text.partition(".")
    is_weight = whole in ("0", "1") and len(decimals) <= 3 and (decimals == "" or is_digits(decimals))
    return min(float(text), 1) if is_weight else 1


def is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def dictionary_member(value: str, key: str) -> str | None:
    """Return the last member with `key` in a dictionary (RFC 9651, section 3.2), without its parameters."""
    found = None
    for member in value.split(","):
        name, equals, rest = member.partition("=")
        if equals and name.strip(BLANKS) == key:
            found = rest.partition(";")[0].strip(BLANKS)
    return found
