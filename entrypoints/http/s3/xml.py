"""XML as S3 writes and reads it: elements in one namespace."""

import re
from collections.abc import Iterable, Iterator, Sequence
from xml.etree.ElementTree import Element, TreeBuilder
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser, ParseError

from entrypoints.http.s3.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
HEAD = b'<?xml version="1.0" encoding="UTF-8"?>\n'
MAX_ELEMENTS = 100_000  # 10,000 parts with all of their checksums
MAX_DEPTH = 8
_LONG_TAG = re.compile(rb"<[^<>]{4096}")
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2

# The only element with attributes: a key, or a group, which has an address.
GRANTEE = ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="{}"'

Tree = tuple[str, "Content"]
Content = str | int | bool | None | Sequence[Tree]
"""The content of an element: text, or elements. Without content (None) there is no element."""


def document(root: str, children: Iterable[Tree] | str, *, namespace: str = NAMESPACE) -> bytes:
    """Return a document: elements, or a text.

    Characters that XML 1.0 can't have are replaced: clients ask for `encoding-type=url`.
    """
    attribute = f' xmlns="{namespace}"' if namespace else ""
    content = _text(children) if isinstance(children, str) else "".join(_written(children))
    return HEAD + f"<{root}{attribute}>{content}</{root}>".encode()


def _written(trees: Iterable[Tree]) -> Iterator[str]:
    for name, content in trees:
        if content is None:
            continue
        if isinstance(content, bool):
            text = "true" if content else "false"
        elif isinstance(content, str):
            text = _text(content)
        elif isinstance(content, int):
            text = str(content)
        else:
            text = "".join(_written(content))
        attributes = (
            GRANTEE.format("Group" if text.startswith("<URI>") else "CanonicalUser") if name == "Grantee" else ""
        )
        yield f"<{name}{attributes}>{text}</{name}>"


def _text(content: str) -> str:
    return escape(_NOT_IN_XML.sub("\ufffd", content), {"\r": "&#13;", '"': "&quot;"})


class Parsed:
    """An element of a request. Namespaces are ignored, because clients send any or none."""

    def __init__(self, element: Element) -> None:
        self._element = element

    @property
    def name(self) -> str:
        tag: str = self._element.tag
        return tag.rpartition("}")[2]

    @property
    def text(self) -> str:
        return (self._element.text or "").strip()

    def all(self, name: str) -> Iterator["Parsed"]:
        """Yield the children with this name."""
        return (child for child in map(Parsed, self._element) if child.name == name)

    def find(self, name: str) -> "Parsed | None":
        """Return the first child with this name, or None."""
        return next(self.all(name), None)

    def value(self, name: str) -> str | None:
        """Return the text of the first child with this name, or None."""
        child = self.find(name)
        return None if child is None else child.text

    def exact(self, name: str) -> str | None:
        """Return the text of a child with its blanks, which are a part of a key."""
        child = self.find(name)
        return None if child is None else child._element.text or ""


class _BoundedBuilder(TreeBuilder):
    """Builds a tree of bounded size. Each element takes some hundred times the bytes of its shortest tag."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._count += 1
        self._depth += 1
        if self._count > MAX_ELEMENTS or self._depth > MAX_DEPTH:
            raise S3Error("MalformedXML")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self._depth -= 1
        return super().end(tag)


def parse(data: bytes, root: str) -> Parsed:
    """Return the root element. Raises MalformedXML for another one, and for document types and entities."""
    if _LONG_TAG.search(data):  # its attributes would be read before anything can refuse them, and no document has any
        raise S3Error("MalformedXML")
    parser = DefusedXMLParser(target=_BoundedBuilder(), forbid_dtd=True)
    try:
        parser.feed(data)
        element: Element = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise S3Error("MalformedXML") from None
    parsed = Parsed(element)
    if parsed.name != root:
        raise S3Error("MalformedXML")
    return parsed
