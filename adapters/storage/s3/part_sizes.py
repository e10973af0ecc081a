"""The sizes of the parts of a multipart upload.

S3 takes up to 10,000 parts of an object, of 5 MiB or more, and the length of an upload is not known in advance. So the
size of a part depends on its position. The first tenth of the parts have 5 MiB each, and every later part is one
step larger than the one before it, such that all parts together hold the largest blob. An upload holds one part in
memory, so its limit is:

| MAX_BLOB_BYTES | step | parts up to 5,000 MiB | largest part |
|---|---|---|---|
| up to 48.8 GiB | 0 | 5 MiB | 5 MiB |
| 100 GiB | 1.3 KiB | 5 MiB | 17 MiB |
| 1 TiB | 25.2 KiB | 5 MiB | 227 MiB |
| 5 TiB | 131.3 KiB | 5 MiB | 1.1 GiB |

Some servers, such as Cloudflare's R2, take only equal parts. Each then has a 10,000th of MAX_BLOB_BYTES, or 5 MiB.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

from domain.errors import TooLarge

PART = 5 * 1024**2  # bytes, the least that S3 takes of a part that is not the last
PARTS = 10_000
LARGEST_OBJECT = 5 * 1024**4  # bytes


@dataclass(frozen=True, slots=True)
class PartSizes:
    """The sizes in bytes of up to `count` parts, which together hold at least `total` bytes.

    The iterator raises TOO_LARGE after the last one.
    """

    total: int = 5 * 1024**3
    count: int = PARTS
    least: int = PART

    @property
    def equal(self) -> int:
        """The number of parts of the least size."""
        return self.count // 10

    @property
    def step(self) -> int:
        """The bytes by which each later part is larger than the one before it."""
        missing = max(self.total - self.count * self.least, 0)
        growing = self.count - self.equal
        return -(-missing // (growing * (growing + 1) // 2))

    @property
    def in_equal_parts(self) -> Self:
        """Parts of one size."""
        return replace(self, least=max(self.least, -(-self.total // self.count)))

    def __iter__(self) -> Iterator[int]:
        step, equal = self.step, self.equal
        for number in range(self.count):
            yield self.least + step * max(number + 1 - equal, 0)
        raise TooLarge(f"The storage takes a blob in up to {self.count:,} parts. Send a smaller one.")
