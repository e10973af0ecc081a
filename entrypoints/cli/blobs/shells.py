"""Completion in bash and fish that inserts an id as one word, whatever characters it has.

The scripts of click insert an id as it is in bash, where `$(...)` in it runs when the line does, and up to its first
comma in fish. zsh quotes ids itself.
"""

import os
import re

from click.shell_completion import BashComplete, FishComplete, split_arg_string

BASH = """\
%(complete_func)s() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            plain,*) COMPREPLY+=("${line#plain,}") ;;
            file,*) compopt -o default ;;
            dir,*) compopt -o dirnames ;;
        esac
    done <<< "$(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_TEXT="$2" %(complete_var)s=bash_complete "$1")"
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""
QUOTED = re.compile(r"""\\.|'[^']*'|"(?:\\.|[^"\\])*\"""")
CURSOR = "|"


class Bash(BashComplete):
    """Completion in bash, which inserts what it gets as it is, in the place of COMP_TEXT at the end of the line.

    COMP_TEXT is only a part of the word if there is a colon or an open quote before it.
    """

    source_template = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the last one, without the command, and the last one."""
        *words, last = _words(os.environ["COMP_WORDS"])
        return words[1:], last

    def complete(self) -> str:
        """Return a line for each completion: its type, a comma, and what takes the place of COMP_TEXT."""
        items = self.get_completions(*self.get_completion_args())
        before = os.environ["COMP_WORDS"].removesuffix(os.environ["COMP_TEXT"])
        typed, quote = _words(before)[-1], _open_quote(before)
        # bash would not add the closing quote after an escaped one.
        end = quote if len(items) == 1 else ""
        return "\n".join(f"{each.type},{quote}{_quoted(each.value.removeprefix(typed), quote)}{end}" for each in items)


class Fish(FishComplete):
    """Completion in fish, which quotes what it gets itself."""

    source_template = FishComplete.source_template.replace('split ","', 'split --max 1 ","')


def _words(line: str) -> list[str]:
    """Return the words of a line without their quotes. The last one is empty if the line ends between words."""
    *words, last = split_arg_string(line + CURSOR)
    return [*words, last.removesuffix(CURSOR)]


def _open_quote(line: str) -> str:
    """Return the quote in which a line ends, or an empty text."""
    found = re.search("['\"]", QUOTED.sub("", line))
    return found[0] if found else ""


def _quoted(text: str, quote: str) -> str:
    """Return a text as a part of a word, after this quote or without one."""
    if quote == "'":
        return text.replace("'", r"'\''")
    if quote == '"':
        return re.sub(r'[\\"$`]', r"\\\g<0>", text).replace("!", r'"\!"')  # bash expands ! between these quotes
    return re.sub(r"[^\w%+,./:=@-]", r"\\\g<0>", text)
