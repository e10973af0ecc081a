"""Times and sizes as arguments of commands."""

import re
from datetime import timedelta
from typing import Any

import click

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[timedelta]):
    """A number of seconds, or of other units: 90s, 15m, 12h, 30d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,9})([smhd]?)", value, re.ASCII)
        if found is None:
            self.fail(f"{value!r} is not a time. Write 90s, 15m, 12h or 30d.", param, ctx)
        return timedelta(seconds=int(found[1]) * UNITS[found[2] or "s"])


class Size(click.ParamType[int]):
    """A number of bytes, or of KiB, MiB, GiB or TiB: 500K, 20M, 10G, 1T."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,19})([KMGT]?)(?:i?B)?", value, re.ASCII)
        if found is None:
            self.fail(f"{value!r} is not a size. Write 500K, 20M, 10G or 1T.", param, ctx)
        return int(found[1]) << 10 * " KMGT".index(found[2] or " ")


DURATION, SIZE = Duration(), Size()
