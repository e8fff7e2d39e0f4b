"""Blocks of code in a page, and the commands in them.

A fenced `console`, `bash` or `python` block is run, unless a comment before it says why not, in words that the reader
sees too:

    <!-- not run: needs a GPU -->
    *Needs a GPU.*

`<!-- exits with 1 -->` before a block says how its last command ends, and `<!-- output differs -->` that what is shown
was real once and is no other time.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^(`{3,}|~{3,})\s*([\w-]*)\s*$")
COMMENT = re.compile(
    r"^<!--\s*(not run: (?P<why>[^>]*?)|exits with (?P<code>\d+)|(?P<differs>output differs))\s*-->$"
)
RUN = ("console", "bash", "python")


@dataclass(frozen=True)
class Command:
    """A command, its line in the page, and what the page says that it prints."""

    line: int
    text: str
    output: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """A block; `before` is the text between it and its comment."""

    line: int
    language: str
    lines: tuple[str, ...]
    why_not_run: str | None = None
    exit_code: int = 0
    output_differs: bool = False
    before: str = ""

    @property
    def commands(self):
        """What a console block runs with what follows; all of a bash block as one."""
        if self.language != "console":
            return (Command(self.line + 1, "\n".join(self.lines)),)
        return tuple(_console(self.line + 1, self.lines))


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks, and the indented ones that begin with `$ `."""
    return [*fenced(page), *indented(page)]


def indented(page: Path) -> list[Block]:
    """Indented text that begins with a command, up to the next line of another kind, as console blocks."""
    text = re.sub(
        r"^(`{3,}).*?^\1$", lambda found: "\n" * found[0].count("\n"), page.read_text(), flags=re.M | re.S
    )
    found = re.finditer(r"^    \$ .*\n(?:(?: {4}.*)?\n)*", text, re.M)
    return [
        Block(
            text[: each.start()].count("\n"),
            "console",
            tuple(line.removeprefix("    ") for line in each[0].rstrip().splitlines()),
        )
        for each in found
    ]


def fenced(page: Path) -> list[Block]:
    """The fenced blocks, in order."""
    found, marks, text = [], {}, []
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        line = lines[number]
        if mark := COMMENT.match(line.strip()):
            marks |= {name: value for name, value in mark.groupdict().items() if value is not None}
            text = []
        elif fence := FENCE.match(line):
            end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == fence[1])
            found.append(_block(number + 1, fence[2], lines[number + 1 : end], marks, text))
            marks, text, number = {}, [], end
        else:
            text.append(line.strip())
        number += 1
    return found


def _block(line, language, lines, marks, text):
    return Block(
        line,
        language,
        tuple(lines),
        marks.get("why"),
        int(marks.get("code", 0)),
        "differs" in marks,
        " ".join(filter(None, text)),
    )


def _console(first, lines):
    """`$` begins a command, a backslash at its end goes on with it; the rest is output."""
    starts = [place for place, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], f"line {first}: a console block begins with `$ `"
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        last = start
        while lines[last].endswith("\\"):
            last += 1
        text = "\n".join([lines[start][2:], *lines[start + 1 : last + 1]])
        yield Command(first + start, text, tuple(lines[last + 1 : end]))


def told_commands(page: Path) -> list[Command]:
    """Every command line of ours that a page holds outside of fences: indented, or in tables and sentences as code."""
    lines, inside, found, number = page.read_text(encoding="utf-8").splitlines(), False, [], 0
    while number < len(lines):
        line, start = lines[number], number
        inside ^= bool(re.match(r"^(`{3,}|~{3,})", line))
        if not inside and line.startswith("    "):
            while lines[number].endswith("\\") or _goes_on(lines, number):
                number += 1
            text = " ".join(each.strip().removesuffix("\\") for each in lines[start : number + 1])
            found.append(Command(start + 1, text.strip().removeprefix("$ ").split("    #")[0]))
        number += 1
    return [each for each in found if ours(each.text)]


def _goes_on(lines, number):
    """A synopsis goes on below its first option."""
    return number + 1 < len(lines) and bool(re.match(r"^ {20,}\[", lines[number + 1]))


def ours(text: str) -> list[str] | None:
    """The arguments of a command of ours, None for others; brackets of a synopsis are left out."""
    bare = re.sub(r"[\[\]]|\.\.\.", " ", text)
    try:
        words = shlex.split(bare.split(" > ")[0].split(" | ")[0], comments=True)
    except ValueError:
        return None
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    for start in (["python", "-m", "workbench"], [".venv/bin/python", "-m", "workbench"], ["workbench"]):
        if words[: len(start)] == start:
            return words[len(start) :]
    return None
