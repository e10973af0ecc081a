"""Advice about a step of a check that failed: it follows from the step and from the error."""

from application.checks.checklist import Step
from domain.errors import BlobError, Kind, Reason
from entrypoints.config.settings import Settings

SETTINGS_OF_STORAGES = {
    "fs": "FS_BASE_PATH",
    "database": "DATABASE_URL",
    "s3": "S3_BUCKET, S3_ENDPOINT, S3_ACCESS_KEY or S3_SECRET_KEY",
    "ftp": "FTP_HOST, FTP_PORT, FTP_USER or FTP_PASSWORD",
    "memory": "STORAGE",
}
PLACES = {"fs": "FS_BASE_PATH", "s3": "S3_BUCKET", "ftp": "FTP_BASE_DIR"}
ADDRESSES = {"s3": "S3_ENDPOINT and S3_REGION", "ftp": "FTP_HOST and FTP_PORT"}
LOGINS = {"s3": "S3_ACCESS_KEY and S3_SECRET_KEY", "ftp": "FTP_USER and FTP_PASSWORD"}
RIGHTS = {
    "fs": "Let the user that runs this read, write and delete in the folder, or set FS_BASE_PATH",
    "database": "Grant the user of DATABASE_URL SELECT, INSERT, UPDATE and DELETE on all tables",
    "s3": "Let the owner of S3_ACCESS_KEY do s3:PutObject, s3:GetObject, s3:DeleteObject, s3:ListBucket,"
    " s3:ListBucketMultipartUploads and s3:AbortMultipartUpload in the bucket",
    "ftp": "Let FTP_USER store, read, list and delete files, and make folders, in FTP_BASE_DIR",
    "memory": "",
}
OF_THE_DATABASE = ("note", "forget")
REACHING = ("connect", "reach")


def about_start(backend: str, step: Step, error: BlobError, given: Settings) -> str:
    """Say why a server can't start, with the setting to blame first."""
    if step.name in OF_THE_DATABASE:
        return f"DATABASE_URL: can't write a row: {error.detail} {RIGHTS['database']}."
    if step.name in REACHING:
        return f"{SETTINGS_OF_STORAGES[backend]}: {error.detail}"  # which says what to do about the setting
    advice = about_storage(backend, step.name, error)
    return f"{SETTINGS_OF_STORAGES[backend]}: can't {step.name}: {error.detail} {advice}"


def about_database(step: str, error: BlobError) -> str:
    """Say what to do about a step of the database that failed."""
    if error.reason is None and step not in REACHING and error.kind is Kind.UNAVAILABLE:
        return f"{RIGHTS['database']}."
    return about_storage("database", step, error)


def about_storage(backend: str, step: str, error: BlobError) -> str:
    """Say what to do about a step of a storage that failed."""
    return _by_kind(backend, error) or _by_reason(backend, step, error) or _by_step(backend, step)


def _by_kind(backend: str, error: BlobError) -> str:
    match error.kind:
        case Kind.NO_SPACE:
            return "Free some space, or give it more."
        case Kind.INTEGRITY:
            return "Don't store blobs there: something changes them, or does not keep its word."
        case Kind.TIMEOUT:
            return f"See whether it runs, and whether a firewall is in between; check {_address(backend)}."
        case _:
            return ""


def _by_reason(backend: str, step: str, error: BlobError) -> str:
    match error.reason:
        case Reason.DENIED:
            return f"{RIGHTS[backend]}."
        case Reason.LOGIN:
            return f"Check {LOGINS.get(backend, SETTINGS_OF_STORAGES[backend])}."
        case Reason.ABSENT:
            return f"Create it, or check {PLACES.get(backend, SETTINGS_OF_STORAGES[backend])}."
        case Reason.UNREACHABLE:
            return f"See whether it runs, and whether this machine reaches it; check {_address(backend)}."
        case Reason.UNSUPPORTED:
            return f"The server lacks what Drivebay needs to {step}. Use another server, or a newer version of it."
        case _:
            return ""


def _by_step(backend: str, step: str) -> str:
    if step in REACHING:
        return f"Check {SETTINGS_OF_STORAGES[backend]}."
    return "The server gives no reason that Drivebay knows. See its log."


def _address(backend: str) -> str:
    return ADDRESSES.get(backend, SETTINGS_OF_STORAGES[backend])
