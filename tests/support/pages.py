"""The documentation's pages, their code blocks, and what a comment before a block says of it.

<!-- lab: cut -->            the page's lab: a run was killed in its staging half (else: two fresh appliances)
<!-- lab: dead -->           the old one was pulled off-site and has lost its power since
<!-- run -->                 the next block is run, in the page's order, and has to end with 0
<!-- run: exit 4 -->         … with this status
<!-- run: types y -->        … on a terminal, by a person who types this at the first question
<!-- elsewhere: FILE::TEST -->  … is run by this test
<!-- example -->             the next block is no command of ours and no whole inventory: it is not looked at
<!-- command: NAME -->       the next block is a command that .ci/run or a test takes from here
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
    """One fenced block: where it begins, its language, its text, and what the comment before it says."""

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
        found = re.search(r"exit (\d+)", self.how)
        return int(found[1]) if found else 0

    @property
    def types(self) -> str:
        found = re.search(r"types (\S+)", self.how)
        return found[1] if found else ""

    def commands(self) -> Iterator[list[str]]:
        """Each `tscm-migrate …` of a shell block as words, without pipes, redirections and comments."""
        if self.kind in SHELLS:
            for line in re.sub(r"[\\`]\n\s*", " ", self.text).splitlines():
                found = re.search(
                    r"^\s*(?:\$ )?(?:[A-Z_]+=\S+ |\$\w+ = |if )*(?:tscm-migrate|invoke)\s+(?P<rest>.*)$", line
                )
                if found:
                    yield shlex.split(_TAIL.sub("", f"tscm-migrate {found['rest']}"))


def pages() -> list[Path]:
    """Every page that is kept in the repository, and the README."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    names = {path: path.relative_to(ROOT).as_posix() for path in found}
    return [path for path, name in names.items() if name not in GENERATED and "_build" not in path.parts]


def blocks(path: Path) -> list[Block]:
    """All fenced blocks of a page."""
    text = path.read_text(encoding="utf-8")
    page = path.relative_to(ROOT).as_posix()
    found = [
        Block(page, 1, "sh", m[1], "indented")
        for m in re.finditer(r"((?:^    tscm-migrate .*\n)+)", text, re.MULTILINE)
    ]
    return found + [
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
    """What the page wants of its lab."""
    found = re.search(r"^<!-- lab: (\w+) -->$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""
