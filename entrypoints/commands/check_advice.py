"""What to do about what does not work."""

from domain.errors import DriveError, Kind
from entrypoints.lifecycle import SETTINGS_OF_STORAGES
from entrypoints.settings import Settings

MADE_AT_THE_START = "`drivebay serve` makes it at its start, and so does `drivebay migrations upgrade` now."
MIGRATE = "`drivebay serve` brings them to the newest at its start, and so does `drivebay migrations upgrade` now."
AFTER_THE_DATABASE = "A probe is written when the database takes rows: check again then."
CREATE = "Create it."
CLOCKS = "Let both machines set their clocks by NTP: blobs are dated by this one's."
RIGHTS = {
    "fs": "Let the user that runs this read, write and delete in the folder",
    "database": "Grant the user of DATABASE_URL SELECT, INSERT, UPDATE and DELETE on all tables",
    "s3": "Let the owner of S3_ACCESS_KEY do s3:PutObject, s3:GetObject, s3:DeleteObject, s3:ListBucket,"
    " s3:ListBucketMultipartUploads and s3:AbortMultipartUpload in the bucket",
    "ftp": "Let FTP_USER store, read, list and delete files, and make folders, in FTP_BASE_DIR",
    "memory": "",
}
OLDER = "Until then older blobs on it can't be read; new ones don't go there."


def to_do(part: str, step: str, fault: DriveError, given: Settings) -> str:
    """About the `fault` of a step of the database, or of a storage."""
    if part == "database":
        return _about("DATABASE_URL", "database", step in ("connect", "reach"), fault)
    backend = part.removeprefix("storage ")
    if step in ("note", "forget"):
        return "It is the database that fails: see there."
    first = _about(SETTINGS_OF_STORAGES[backend], backend, step == "reach", fault)
    return first if backend == given.storage else f"{first} {OLDER}"


def _about(settings: str, backend: str, reaching: bool, fault: DriveError) -> str:
    if fault.kind is Kind.NO_SPACE:
        return "Free some space, or give it more."
    if fault.kind is Kind.INTEGRITY:
        return "Don't store blobs there: something changes them, or does not keep its word."
    if fault.kind is Kind.TIMEOUT:
        return f"See whether it runs, and whether a firewall is in between; check {settings}."
    if reaching:
        return f"Check {settings}."
    return f"{RIGHTS[backend]}."
