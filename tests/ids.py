"""Blob ids that have broken other services, and a strategy for all that are valid."""

import unicodedata

from hypothesis import strategies as st

ALL_PRINTABLE_ASCII = "".join(map(chr, range(0x20, 0x7F)))

# All different from each other; each is stored, fetched, and never found under another.
# fmt: off
NASTY = [
    *("a", "a/", "/a", "a//b", "a/b", "ab", "A", "á", "a ", " a", "a.", ".a", "a%20", "a+b", "a b"),
    *("/", "//", "///", ".", "..", "./", "../", "/.", "/..", "/../", ".../", "././.", "..%2f", "../a"),
    *("foo//bar///baz", "foo/bar/baz", "../foo/../bar/../../baz../", "a/a/a/../../../../../etc/passwd"),
    *("%", "%%", "%2", "%zz", "%2e%2e/", "%2E%2E/", "%252e", "%25", "%c0%af", "%00", "%0a"),
    *("\\", "a\\b", "..\\..\\a", "C:\\a", "C:a", "<a>", "a|b", "a*b", "a?b", "?", "??", "?a=1", "#", "#a"),
    *("'", "`", '"', "&", "a&b=c", "+", "=", ";", "a;b", ",", ":", "@", "!", "$", "$(a)", "~", "~root", "^"),
    *("{id}", "{id:str}", "[a]", "id", "blobs", "v1", "/v1/blobs/a", "health/live"),
    *("CON", "con", "NUL", "aux.txt", "LPT1", "x.tmp", "x.attrs", ".DS_Store", "-", "--", "-rf"),
    *("null", "true", "0", "00", "1e3", "SELECT", "' OR 1=1 --"),
    *("☺☺☺", unicodedata.normalize("NFC", "été"), unicodedata.normalize("NFD", "été"), "שלום", "مرحبا"),
    *("\u202eabc", "\u200b", "\ufeff", "\u2028", "ß", "SS", "İ", "i̇", "ı", "K", "\u212a", "\ufb01", "fi"),
    *("\U0001f469\u200d\U0001f680", "👍🏽", "👍", "\U0010ffff", "\ufffd"),
    *(ALL_PRINTABLE_ASCII[start : start + 24] for start in range(0, 95, 24)),
    *("x" * length for length in (254, 255, 256, 300, 1023, 1024, 2047, 2048)),
    *("é" * 1024, "☺" * 682 + "xx", "/" * 2048, "a/" * 1024, " " * 2048),
]
# fmt: on

# Each with the reason that the answer must give.
INVALID = {
    "": "0 bytes",
    "x" * 2049: "2,049 bytes",
    "é" * 1025: "2,050 bytes",
    "a\x00": "U+0000",
    "\n": "U+000A",
    "a\rb": "U+000D",
    "\t": "U+0009",
    "\x7f": "U+007F",
    "\x85": "U+0085",
}

valid_ids = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from("/%.+ \\?#&;=~aA"),
    min_size=1,
    max_size=256,
).filter(lambda text: len(text.encode()) <= 2048)
