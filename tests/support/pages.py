"""The documentation's pages, their code blocks, and the comments that say how a test uses a block.

<!-- lab: cut -->            the page's lab has a run that was killed before the cutover (default: two new appliances)
<!-- lab: dead -->           the page's old appliance has an off-site copy, and is off
<!-- run -->                 the next block is run, in the order of the page; its exit status has to be 0
<!-- run: exit 4 -->         its exit status has to be 4
<!-- run: types y -->        it is run on a terminal, and "y" is typed at the first question
<!-- elsewhere: FILE::TEST -->  the next block is run by this test
<!-- example -->             the next block is not checked: not a command of the tool, or only a part of an inventory
<!-- command: NAME -->       the next block is a command that .ci/run or a test reads from the page
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SHELLS = {"sh", "powershell", "console"}
GENERATED = {
    "docs/reference/cli.md",
    "docs/reference/errors.md",
    "docs/reference/events-table.md",
    "docs/reference/steps.md",
}
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>run|elsewhere|example|command)(?P<how>[^\n]*?) -->\n)?^(?P<indent> *)```(?P<kind>\w+)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_TAIL = re.compile(r"\s(?:\||>|2>|&&|\|\||#|;).*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page and first line, its language, its text, and the comment before it."""

    page: str
    line: int
    kind: str
    text: str
    mark: str = ""
    how: str = ""

    @property
    def id(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def status(self) -> int:
        matches = re.search(r"exit (\d+)", self.how)
        return int(matches[1]) if matches else 0

    @property
    def types(self) -> str:
        matches = re.search(r"types (\S+)", self.how)
        return matches[1] if matches else ""

    def commands(self) -> Iterator[list[str]]:
        """Yield the arguments of each `tscm-migrate …` in a shell block, without pipes, redirections and comments."""
        if self.kind in SHELLS:
            for line in re.sub(r"[\\`]\n\s*", " ", self.text).splitlines():
                matches = re.search(
                    r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ |\$\w+ = |if )*(?:tscm-migrate|invoke)\s+(?P<rest>.*)$", line
                )
                if matches:
                    yield shlex.split(_TAIL.sub("", f"tscm-migrate {matches['rest']}"))


def pages() -> list[Path]:
    """Return all pages that are not generated, and the README."""
    matches = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    names = {path: path.relative_to(ROOT).as_posix() for path in matches}
    return [path for path, name in names.items() if name not in GENERATED and "_build" not in path.parts]


def blocks(path: Path) -> list[Block]:
    """Return all fenced and indented blocks of a page."""
    text = path.read_text(encoding="utf-8")
    page = path.relative_to(ROOT).as_posix()
    matches = [
        Block(page, 1, "sh", m[1], "indented")
        for m in re.finditer(r"((?:^    tscm-migrate .*\n)+)", text, re.MULTILINE)
    ]
    return matches + [
        Block(
            page,
            text[: m.start("kind")].count("\n") + 1,
            m["kind"],
            m["text"],
            m["mark"] or "",
            (m["how"] or "").lstrip(": "),
        )
        for m in _BLOCK.finditer(text)
    ]


def lab_of(path: Path) -> str:
    """Return the kind of lab that the page needs."""
    matches = re.search(r"^<!-- lab: (\w+) -->$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return matches[1] if matches else ""
