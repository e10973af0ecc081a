"""Moves of several blobs: which ones, and to which ids."""

from collections import Counter
from typing import Any

from fsspec.utils import other_paths

PATTERN = frozenset("*?[")


def planned(fs: Any, path1: Any, path2: Any, *, recursive: bool, maxdepth: int | None) -> list[tuple[str, str]]:
    """Return the old and the new ids of the blobs that `mv` of a pattern, a list or a `maxdepth` moves.

    Raises ValueError if two of them would get the same id, or one the id of another.
    """
    if isinstance(path1, list) and isinstance(path2, list):
        moves = list(zip(fs._strip_protocol(path1), fs._strip_protocol(path2), strict=True))
    else:
        moves = _expanded(fs, path1, path2, recursive=recursive, maxdepth=maxdepth)
    targets = Counter(target for _, target in moves)
    sources = {source for source, _ in moves}
    for source, target in moves:
        if targets[target] > 1 or (source != target and target in sources):
            raise ValueError(f"{source} would replace another blob that is moved: {target}. Move them in two steps.")
    return moves


def _expanded(fs: Any, path1: Any, path2: Any, *, recursive: bool, maxdepth: int | None) -> list[tuple[str, str]]:
    """Expand the sources once, and give them the ids that `copy` gives them."""
    is_text = isinstance(path1, str)
    sources = fs.expand_path(path1, recursive=recursive, maxdepth=maxdepth)
    folders = {each for each in sources if fs.isdir(each)}
    if is_text and (not recursive or maxdepth is not None):
        sources = [each for each in sources if each not in folders]
        if not sources:
            return []
    is_inside = False
    if is_text and PATTERN & set(path1):
        is_inside = len(sources) == 1
    elif is_text and isinstance(path2, str):
        is_inside = not path1.endswith("/") and (path2.endswith("/") or fs.isdir(path2))
    targets = fs._strip_protocol(other_paths(sources, path2, exists=is_inside, flatten=not is_text))
    return [move for move in zip(sources, targets, strict=True) if move[0] not in folders]
