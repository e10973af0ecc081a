"""`drivebay`: it imports the server only for the commands of the server, so that the others start quickly."""

import os
import sys

FOR_USERS = frozenset(
    {"put", "get", "cat", "ls", "stat", "rm", "cp", "mv", "sync", "sign", "share", "completion"},
)


def main() -> None:
    """Run the command line."""
    # A shell that completes passes the words of its line in a variable.
    words = sys.argv if "_DRIVEBAY_COMPLETE" not in os.environ else os.environ.get("COMP_WORDS", "").split()
    if not FOR_USERS.isdisjoint(words[1:2]):
        from entrypoints.cli.blobs.group import main as for_users

        for_users(prog_name="drivebay")
    else:
        from entrypoints.cli.main import main as all_commands

        all_commands(prog_name="drivebay")
