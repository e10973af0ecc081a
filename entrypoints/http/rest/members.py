"""Types of members of JSON bodies, with the constraints that the document shows.

The handlers check them, so that each error has its own code.
"""

from datetime import datetime
from typing import Annotated

from application.blobs.changes.commit import MAX_OPERATIONS
from application.blobs.multipart.parts import MAX_PARTS
from domain.blob import MAX_ID_BYTES
from entrypoints.http.openapi.bodies import documented
from entrypoints.http.openapi.components import (
    CODINGS,
    DISPOSITION,
    ENTITY_TAGS,
    KEY,
    LANGUAGES,
    MAX_DISPOSITION,
    MEDIA_TYPE,
    METADATA_NAME,
    NO_CONTROL_CHARACTERS,
    VISIBLE,
)
from entrypoints.http.protocol.fields.header_values import MAX_SIZE
from entrypoints.http.protocol.fields.media_types import MAX_MEDIA_TYPE
from entrypoints.http.rest.descriptions import MAX_EXPIRY, MAX_HEADER
from entrypoints.http.rest.raw_form import MAX_CODINGS

Id = Annotated[
    str,
    documented(
        format="blob-id",
        minLength=1,
        maxLength=MAX_ID_BYTES,
        pattern=NO_CONTROL_CHARACTERS,
        description=f"1 to {MAX_ID_BYTES:,} bytes of UTF-8 text without control characters.",
    ),
]
Prefix = Annotated[str, documented(pattern=NO_CONTROL_CHARACTERS, description="How the ids begin.")]
EntityTags = Annotated[
    str,
    documented(
        pattern=ENTITY_TAGS, maxLength=MAX_SIZE - 2, description="One entity tag or several, or `*` for any version."
    ),
]
UploadKey = Annotated[str, documented(pattern=KEY, description="The key of an upload.")]
PartNumber = Annotated[int, documented(minimum=1, maximum=MAX_PARTS)]
PartNumbers = Annotated[
    list[PartNumber],
    documented(minItems=1, maxItems=MAX_PARTS, uniqueItems=True, description="Numbers of parts, in ascending order."),
]
SomeOperations = documented(minItems=1, maxItems=MAX_OPERATIONS)

MediaType = Annotated[str, documented(pattern=MEDIA_TYPE, maxLength=MAX_MEDIA_TYPE)]
Codings = Annotated[str, documented(pattern=CODINGS, maxLength=MAX_CODINGS, description="Such as `gzip`.")]
Languages = Annotated[str, documented(pattern=LANGUAGES, maxLength=MAX_HEADER, description="Such as `de-CH`.")]
Disposition = Annotated[
    str,
    documented(
        format="content-disposition",
        pattern=DISPOSITION,
        maxLength=MAX_DISPOSITION,
        description='Such as `attachment; filename="a.txt"`. No parameter is repeated.',
    ),
]
CacheControl = Annotated[str, documented(pattern=VISIBLE, maxLength=MAX_HEADER, description="Such as `max-age=60`.")]
MetadataName = Annotated[str, documented(pattern=METADATA_NAME)]
MetadataValue = Annotated[str, documented(pattern=NO_CONTROL_CHARACTERS)]
OF_METADATA = documented(description="Your own texts. Names and values have 8 KiB of UTF-8 in all.")
Seconds = Annotated[
    int,
    documented(minimum=1, maximum=int(MAX_EXPIRY.total_seconds()), description="The blob ends after so many seconds."),
]
FutureTime = Annotated[datetime, documented(format="date-time", description="The blob ends at this time.")]
