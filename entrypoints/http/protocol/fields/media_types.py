"""Media types (RFC 9110, section 8.3.1)."""

from functools import lru_cache

from domain.properties import DEFAULT_CONTENT_TYPE
from entrypoints.http.protocol.fields.header_values import BLANKS, is_token
from entrypoints.http.protocol.problems import HttpProblem

REMEMBERED = 128  # media types; clients send few different ones
MAX_MEDIA_TYPE = 255  # characters: more than real types have, and no other server refuses the header


def media_type(value: str | None, name: str = "Content-Type") -> str:
    """Return the media type to store, from the value of the field `name`. Raises HttpProblem 400."""
    found = (value or "").strip(BLANKS) or DEFAULT_CONTENT_TYPE
    if len(value or "") > MAX_MEDIA_TYPE or not _is_media_type(found):
        detail = f"{name} is not a media type of up to {MAX_MEDIA_TYPE} characters, such as image/png."
        raise HttpProblem("invalid_header", detail)
    return found


def essence(content_type: str) -> str:
    """Return the media type without parameters, in lower case."""
    return content_type.partition(";")[0].strip(BLANKS).lower()


def is_single(content_type: str) -> bool:
    """Return whether no other media type stands after a comma.

    Browsers take the last one of such a list. Quotes protect no comma, because parsers differ in where quotes end.
    """
    return "/" not in content_type.partition(",")[2]


@lru_cache(maxsize=REMEMBERED)
def _is_media_type(text: str) -> bool:
    """Return whether this is a media type (RFC 9110, section 8.3.1), and not a list of them.

    Parameters: visible ASCII, blanks and tabs. Browsers write some without the quotes: video/webm;codecs=vp8,opus.
    """
    essential, _, parameters = text.partition(";")
    kind, _, subtype = essential.rstrip(BLANKS).partition("/")
    are_visible = parameters.isascii() and parameters.replace("\t", "").isprintable()
    return is_token(kind) and is_token(subtype) and are_visible and is_single(parameters)
