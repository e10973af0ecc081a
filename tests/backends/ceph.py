"""Ceph's RADOS gateway, for S3."""

from dataclasses import replace

from adapters.storage.s3 import S3Config
from tests.backends.containers import Containers

CONFIG = S3Config("drivebay", access_key="key-of-the-tests", secret_key="secret-of-the-tests", path_style=True)


def start(containers: Containers) -> S3Config:
    """A bucket there."""
    container = containers.start(
        "ceph",
        7480,
        "ceph: ready",
        S3_ACCESS_KEY=CONFIG.access_key,
        S3_SECRET_KEY=CONFIG.secret_key,
        S3_BUCKET=CONFIG.bucket,
    )
    return replace(CONFIG, endpoint=f"http://127.0.0.1:{container.get_exposed_port(7480)}")


def settings(server: S3Config) -> dict[str, str]:
    return {
        "STORAGE": "s3",
        "S3_BUCKET": server.bucket,
        "S3_ACCESS_KEY": server.access_key,
        "S3_SECRET_KEY": server.secret_key,
        "S3_ENDPOINT": server.endpoint,
        "S3_FORCE_PATH_STYLE": "true",
    }
