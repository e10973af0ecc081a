"""The date of a blob, once it is a validator."""

import time

import httpx

POLLS = 300


def strong_date(client: httpx.Client, path: str) -> str:
    """The Last-Modified of a blob once its second is over, which makes it different from that of other versions."""
    for _ in range(POLLS):
        date: str = client.head(path, params={"alt": "media"}).headers["last-modified"]
        if client.head(path, headers={"If-Modified-Since": date}).status_code == 304:
            return date
        time.sleep(0.02)
    raise AssertionError(f"this date never becomes strong: {date}")
