"""Numbers in the sentences of commands."""


def counted(number: int, noun: str) -> str:
    """Return the number with its noun: 1 file, 2,000 files."""
    return f"{number:,} {noun if number == 1 else f'{noun}s'}"


def are(number: int) -> str:
    """Return the verb for this number of things."""
    return "is" if number == 1 else "are"


def were(number: int) -> str:
    """Return the verb for what happened to this number of things."""
    return "was" if number == 1 else "were"
