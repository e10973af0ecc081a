"""The settings of an S3 bucket."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from adapters.settings import boolean, http_url, setting
from adapters.storage.s3.part_sizes import PartSizes


def endpoint(text: str) -> str:
    url = http_url(text)
    if "@" in urlsplit(url).netloc:
        raise ValueError("it takes no user and no password. Set S3_ACCESS_KEY and S3_SECRET_KEY.")
    return url


@dataclass(frozen=True, slots=True)
class S3Config:
    """The bucket, its server, and limits. Without an `endpoint`, the server is that of AWS.

    `connections`: the number of concurrent requests. Times are in seconds: to connect; for a response or the next
    bytes; and for a whole request, since the last bytes of its body moved. `attempts`: at a request that fails for a
    temporary reason. `parts`: the sizes of the parts of large objects, which also limit the size of an object.
    """

    bucket: str = setting("S3_BUCKET", "S3_BUCKET_NAME", default="", required=True)
    region: str = setting("S3_REGION", "S3_REGION_NAME", default="us-east-1")
    access_key: str = setting("S3_ACCESS_KEY", "S3_ACCESS_KEY_ID", default="", secret=True)
    secret_key: str = setting("S3_SECRET_KEY", "S3_SECRET_ACCESS_KEY", default="", secret=True)
    endpoint: str = setting("S3_ENDPOINT", default="", parse=endpoint)
    path_style: bool = setting("S3_FORCE_PATH_STYLE", default=False, parse=boolean)
    connections: int = 64
    connect_timeout: float = 5
    read_timeout: float = 30
    request_timeout: float = 60
    attempts: int = 2
    parts: PartSizes = field(default_factory=PartSizes)
