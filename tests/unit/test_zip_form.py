"""Zip files: the names in them, and their layout."""

import io
import zipfile
from datetime import UTC, datetime
from urllib.parse import unquote
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.http.rest.blobs.zip_form.format import Layout
from entrypoints.http.rest.blobs.zip_form.names import FOLDER_ITSELF, Names

NOON = int(datetime(2026, 1, 31, 12, 0, 1, tzinfo=UTC).timestamp())


def names(*ids: str, folder: str = "", is_empty: bool = False) -> list[str]:
    found = Names(folder)
    return [found.name(each, is_empty=is_empty) for each in ids]


class TestNames:
    @pytest.mark.parametrize(
        ("blob_id", "name"),
        [
            ("a/b.txt", "a/b.txt"),
            ("ü/☺ x", "ü/☺ x"),
            ("../x", "%2E%2E/x"),
            ("a/../../x", "a/%2E%2E/%2E%2E/x"),
            ("./x/.", "%2E/x/%2E"),
            ("...", "..."),
            ("/etc/passwd", "%2Fetc/passwd"),
            ("//host/x", "%2F%2Fhost/x"),
            ("a//b", "a/%2Fb"),
            ("..\\x", "..%5Cx"),
            ("C:\\x", "C%3A%5Cx"),
            ("a/c:x", "a/c%3Ax"),
            ("10:30", "10:30"),
            ("a/", "a%2F"),
            ("a//", "a/%2F"),
            ("100%", "100%"),
            ("%2e%2e/x", "%252e%252e/x"),
        ],
    )
    def test_none_leaves_the_folder(self, blob_id: str, name: str) -> None:
        assert names(blob_id) == [name]

    def test_an_empty_blob_with_a_slash_at_the_end_is_a_folder(self) -> None:
        assert names("a/", "a/b/", is_empty=True) == ["a/", "a/b/"]

    def test_names_are_relative_to_the_folder(self) -> None:
        assert names("a/", "a/b", "a/b/c", folder="a/") == [FOLDER_ITSELF, "b", "b%2Fc"]

    def test_a_blob_is_no_folder_too(self) -> None:
        ids = ["a", "a.b", "a/", "a/b", "a/b/c", "a/d", "b/c", "b/c/d"]
        assert names(*ids) == ["a", "a.b", "a%2F", "a%2Fb", "a%2Fb%2Fc", "a%2Fd", "b/c", "b/c%2Fd"]

    @given(st.sets(st.text("a/.%2F\\:C@4", min_size=1, max_size=8), max_size=20), st.booleans())
    def test_names_differ_and_are_safe(self, ids: set[str], is_empty: bool) -> None:
        ordered = sorted(ids)
        found = names(*ordered, is_empty=is_empty)
        assert len({*found}) == len(found)
        files = {name for name in found if not name.endswith("/")}
        for blob_id, name in zip(ordered, found, strict=True):
            segments = name.removesuffix("/").split("/")
            assert not {"", ".", ".."} & {*segments}
            assert "\\" not in name
            assert not any(each[1:2] == ":" and each[0].isalpha() for each in segments)
            assert unquote(name) == blob_id
            parts = name.removesuffix("/").split("/")
            assert not files & {"/".join(parts[:count]) for count in range(1, len(parts))}


def zipped(files: list[tuple[str, bytes]]) -> bytes:
    layout, bodies, records = Layout(), list[bytes](), list[bytes]()
    for name, data in files:
        entry = layout.add(name, len(data), NOON)
        bodies += [entry.header(), data, entry.descriptor(crc32(data))]
        records.append(entry.record(crc32(data)))
    made = b"".join([*bodies, *records, layout.end()])
    assert len(made) == layout.length
    return made


class TestFormat:
    def test_python_reads_it(self) -> None:
        files = [("a", b"x" * 100), ("ü/☺", b"y"), ("empty", b""), ("folder/", b"")]
        with zipfile.ZipFile(io.BytesIO(zipped(files))) as found:
            assert found.testzip() is None
            assert [(each.filename, found.read(each)) for each in found.infolist()] == files
            assert [each.is_dir() for each in found.infolist()] == [False, False, False, True]
            assert {each.date_time for each in found.infolist()} == {(2026, 1, 31, 12, 0, 0)}
            assert {each.compress_type for each in found.infolist()} == {zipfile.ZIP_STORED}

    @pytest.mark.parametrize("count", [0, 0xFFFE, 0xFFFF, 0x10000])
    def test_more_entries_than_fit_into_16_bits(self, count: int) -> None:
        with zipfile.ZipFile(io.BytesIO(zipped([(f"{number}", b"") for number in range(count)]))) as found:
            assert len(found.infolist()) == count

    @pytest.mark.parametrize("size", [0xFFFFFFFE, 0xFFFFFFFF, 2**40])
    def test_sizes_and_positions_beyond_32_bits(self, size: int) -> None:
        """Only the central directory is there. The last entry begins after so many bytes."""
        layout = Layout()
        entries = [layout.add("large", size, NOON), layout.add("last", 1, NOON)]
        for entry in entries:
            assert (len(entry.descriptor(1)) == 24) is entry.is_large
        directory = b"".join(entry.record(7) for entry in entries)
        with zipfile.ZipFile(_Behind(layout.position, directory + layout.end())) as found:
            large, last = found.infolist()
            assert (large.file_size, large.CRC, last.file_size) == (size, 7, 1)
            assert last.header_offset == entries[1].offset
        assert layout.length == layout.position + len(directory) + len(layout.end())

    @pytest.mark.parametrize("year", [1970, 1979, 2038, 2108, 9999])
    def test_times_that_the_format_can_not_have(self, year: int) -> None:
        layout = Layout()
        entry = layout.add("a", 0, int(datetime(year, 6, 1, tzinfo=UTC).timestamp()))
        with zipfile.ZipFile(io.BytesIO(entry.header() + entry.record(0) + layout.end())) as found:
            assert found.infolist()[0].date_time[0] == min(max(year, 1980), 2107)


class _Behind(io.BytesIO):
    """Bytes after a gap that is not there."""

    def __init__(self, gap: int, data: bytes) -> None:
        super().__init__(data)
        self._gap = gap

    def seek(self, position: int, whence: int = 0) -> int:
        return super().seek(max(0, position - self._gap) if whence == 0 else position, whence) + self._gap

    def tell(self) -> int:
        return super().tell() + self._gap
