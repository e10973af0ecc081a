"""Checksums by which S3 clients know the bytes of a blob. Drivebay itself relies on the SHA-256 alone."""

from dataclasses import dataclass

ALGORITHMS = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
"""The algorithms of S3's additional checksums, by name, with the sizes of their results in bytes."""


@dataclass(frozen=True, slots=True)
class Checksums:
    """Checksums of the bytes of a blob, or of a part of an upload, that came through the S3 interface.

    `md5`: the 16 bytes of the MD5; if the bytes came in `parts`, of the MD5s of all parts, one after another.
    `checksum`: the result of `algorithm`, one of ALGORITHMS, if there is one; of the results for all parts if it
    `is_composite`. `upload`: a mark by which the upload is recognized, if the bytes came in parts.
    """

    md5: bytes
    parts: int = 0
    algorithm: str = ""
    checksum: bytes = b""
    is_composite: bool = False
    upload: str = ""

    def __post_init__(self) -> None:
        if len(self.md5) != 16:
            raise ValueError(f"an MD5 has 16 bytes, not {len(self.md5)}")
        if len(self.checksum) != ALGORITHMS.get(self.algorithm, 0):
            raise ValueError(f"{self.algorithm or 'no checksum'} does not have {len(self.checksum)} bytes")

    @property
    def etag(self) -> str:
        """The entity tag that S3 clients expect, without quotes: the MD5, with the number of parts if there are any."""
        return f"{self.md5.hex()}-{self.parts}" if self.parts else self.md5.hex()
