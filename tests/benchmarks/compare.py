"""`make bench-compare A=... B=...`: the ratios of two runs, each a file of results, or a revision with a published one.

Ratios, because each is to a reference of the same run: the rates themselves depend on the machine and on the moment.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.benchmarks.results import PUBLISHED, ROOT, Figure, Results, read


def main() -> None:
    before, after = (load(name) for name in sys.argv[1:3])
    print(*compare(before, after), sep="\n")


def load(name: str) -> Results:
    """Read results from a file, or from git."""
    if Path(name).is_file():
        return read(Path(name))
    shown = f"{name}:{PUBLISHED.relative_to(ROOT)}"
    found = subprocess.run(["git", "show", shown], cwd=ROOT, capture_output=True)
    if found.returncode:
        sys.exit(f"{name} is neither a file nor a revision with published results.")
    return msgspec.json.decode(found.stdout, type=Results)


def compare(before: Results, after: Results) -> Iterator[str]:
    """Write a line for each figure of either."""
    for each in (before, after):
        yield f"{each.date}  {each.commit}  {each.machine}  load {each.load}  {each.command}"
    old, new = ({figure.key: figure for figure in each.figures} for each in (before, after))
    for key in old | new:
        yield f"{key}: {_change(old.get(key), new.get(key))}"


def _change(old: Figure | None, new: Figure | None) -> str:
    if old is None or new is None:
        [figure] = filter(None, (old, new))
        return f"{figure.ratio:.2f} ({'only before' if new is None else 'only after'})"
    if old.lowest <= new.highest and new.lowest <= old.highest:
        verdict = "within the spread of the rounds"
    else:
        verdict = "better" if (new.ratio > old.ratio) is not new.at_most else "WORSE"
    return f"{old.ratio:.2f} -> {new.ratio:.2f}, {new.ratio / old.ratio - 1:+.0%}: {verdict}"


if __name__ == "__main__":
    main()
