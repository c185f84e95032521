"""Splits the tables that tsadmin prints into cells. Pure; no function raises."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

LABELS = (
    "Palo Alto Networks PAN-OS", "Palo Alto Networks", "Palo Alto", "A10 Networks", "A10 Thunder", "Cisco ASA REST API",
    "Cisco ASA REST", "Cisco ASA", "Cisco ISR", "Cisco Firepower", "Fortinet Fortigate", "Infoblox NIOS", "Check Point",
    "ISC BIND 9", "ISC BIND", "BIND 9", "Web Automation",
)  # fmt: skip
"""The vendor's labels of device types with blanks; longer labels first."""

_LABEL = re.compile(r"(?<![\w-])(?:" + "|".join(map(re.escape, LABELS)) + r")(?![\w-])", re.IGNORECASE)
_JOINED = "\ue000"  # replaces a blank inside a label: a label is one word, and the columns keep their positions
_RULE = re.compile(r"[\s|+]*[-=]{2,}[-=\s|+]*")
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


@dataclass
class Table:
    """One table: the cells of its heading ("" if it has no heading) and of its rows."""

    heading: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def column(self, *headings: str) -> int | None:
        """Return the index of the first column with one of these headings (lower case)."""
        found = [self.label(index) for index in range(len(self.heading))]
        return next((found.index(one) for one in headings if one in found), None)

    def label(self, index: int) -> str:
        """Return the heading of a column in lower case, without punctuation."""
        return _label(self.heading[index])

    def cells(self, index: int) -> list[str]:
        """Return the cells of a column; "" where a row is shorter."""
        return [row[index] if index < len(row) else "" for row in self.rows]


def plain(text: str) -> list[str]:
    """Return the lines without colours and tabs, with the blanks inside labels joined."""
    lines = (_ANSI.sub("", raw).replace(_JOINED, " ").expandtabs() for raw in text.splitlines())
    return [_LABEL.sub(lambda label: label[0].replace(" ", _JOINED), line) for line in lines]


def words(line: str) -> list[str]:
    """Split a line of `plain` into words; a label is one word."""
    return [word.replace(_JOINED, " ") for word in line.split()]


def without_labels(cell: str) -> str:
    """Remove the vendor's labels and text in parentheses from a cell."""
    return " ".join(re.sub(r"\([^)]*\)", " ", unlabelled(cell.replace(_JOINED, " "))).split())


def unlabelled(text: str) -> str:
    """Remove the vendor's labels, whose words could be names of devices, from a text."""
    return _LABEL.sub(" ", text)


def ruled(text: str) -> Iterator[Table]:
    """Return the tables with a line of dashes below the heading, split at the columns of the dashes."""
    waiting: tuple[Table, list[int]] | None = None  # the rows of this heading follow after a blank line
    for block in _blocks(plain(text)):
        rules = [at for at, line in enumerate(block) if _RULE.fullmatch(line)]
        before, waiting = waiting, None
        if before is not None and not rules:
            table, spans = before
            table.rows = [_cut(line, spans) for line in block]
        elif (piped := _piped(block, rules)) is not None:
            yield piped
        elif (dashed := _dashed(block, rules)) is not None:
            yield dashed[0]
            waiting = None if dashed[0].rows else dashed


def _piped(block: list[str], rules: list[int]) -> Table | None:
    """Return a block as a table whose columns are divided by "|"; None if it has none."""
    piped = [x for x in block if "|" in x and (rules or x.lstrip()[:1] == "|") and not _RULE.fullmatch(x)]
    if not piped:
        return None
    first = block.index(piped[0])
    with_heading = len(piped) > 1 and any(first < at < block.index(piped[1]) for at in rules)
    return Table(_cut(piped[0], []) if with_heading else (), [_cut(x, []) for x in piped[with_heading:]])


def _dashed(block: list[str], rules: list[int]) -> tuple[Table, list[int]] | None:
    """Return a block as a table with dashes below its heading, and where its columns begin; None if it is not one."""
    at = next((at for at in rules if at and at - 1 not in rules), None)
    if at is None:
        return None
    end = next((later for later in rules if later > at), len(block))
    spans = _spans(block[at], block[at - 1])
    return Table(_cut(block[at - 1], spans), [_cut(line, spans) for line in block[at + 1 : end]]), spans


def headed(text: str, headings: Collection[str]) -> Iterator[Table]:
    """Return the first table without a line of dashes: its heading has two or more cells, two blanks apart.

    Args:
        text: what a program printed.
        headings: one of these, in lower case, is among the cells of the heading.
    """
    for block in _blocks(plain(text)):
        for at, line in enumerate(block):
            cells = [*re.finditer(r"\S+(?: \S+)*", line)]
            if len(cells) > 1 and any(_label(cell[0]) in headings for cell in cells):
                spans = [0, *(cell.start() for cell in cells[1:])]
                yield Table(_cut(line, spans), [_cut(row, spans) for row in block[at + 1 :]])
                return


def _label(cell: str) -> str:
    return re.sub(r"[^a-z0-9 ]", "", cell.lower()).strip()


def _blocks(lines: Sequence[str]) -> Iterator[list[str]]:
    """Yield the groups of lines between blank lines."""
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []


def _spans(rule: str, heading: str) -> list[int]:
    """Return where the columns begin: at each run of dashes, or at the words of the heading if the rule is one line."""
    runs = [run.start() for run in re.finditer(r"[-=]+", rule)]
    if len(runs) == 1:
        runs = [cell.start() for cell in re.finditer(r"\S+(?: \S+)*", heading)]
    return [0, *runs[1:]]


def _cut(line: str, spans: Sequence[int]) -> tuple[str, ...]:
    """Split a line: each word belongs to the column in which it begins.

    A word that is longer than its column moves the others to the right: if there are as many words as columns, each is
    a cell.
    """
    if "|" in line:
        return tuple(cell.strip().replace(_JOINED, " ") for cell in line.strip().strip("|").split("|"))
    found = [(word.start(), word.end(), word[0].replace(_JOINED, " ")) for word in re.finditer(r"\S+", line)]
    ends = [*spans[1:], len(line) + 1]
    at = [max(k for k, start in enumerate(spans) if start <= begin) for begin, _, _ in found]
    crosses = any(end > ends[k] for k, (_, end, _) in zip(at, found, strict=True))
    if crosses and len(found) == len(spans):
        at = list(range(len(spans)))
    cells = [""] * len(spans)
    for k, (_, _, word) in zip(at, found, strict=True):
        cells[k] = f"{cells[k]} {word}".strip()
    return tuple(cells)
