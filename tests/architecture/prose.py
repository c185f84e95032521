"""Finds words that this project does not use in prose: metaphors, old words, and wordings that a reader must guess.

    python -m tests.architecture.prose [PATH ...]     prints each place; exit status 1 where there is one

Checked are docstrings, comments, texts, and the names of functions and classes in Python files, templates, and the
documentation. What to write instead is in the second column of WORDS.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).parents[2]
# Pattern of a word or wording → what to write instead.
WORDS = {
    r"mend(?:s|ed|ing)?": "fix, repair",
    r"(?:the|an?|which|each|its) (?:old|new) one(?:'s)?": "the old (new) appliance, or the host's name",
    r"without a TSCM": "downtime",
    r"(?<!there )(?:is|are|was|were) no(?! (?:longer|more\b|such|other|way|need|room|space|limit))(?= [a-z]+(?: [a-z]+)?[.,;:)]| [a-z]+$)": "is not a …",
    r"is none\b(?! of)": "is not one, there is none",
    r"deeds?": "action",
    r"wish(?:es|ed)?": "option, setting",
    r"leash": "rescue channel",
    r"knock(?:s|ed|ing)?": "probe",
    r"anew": "again",
    r"strange(?:rs?|ly)?": "unknown, unreadable, other",
    r"(?:go|goes|went|gone|going) on(?= |[.,;:)])(?! (?:a|the|to a|its|this|disk))": "continue, resume",
    r"(?:take|takes|took|taken|taking)(?: (?:it|them|that|this))? back": "undo, roll back",
    r"sealed|unsealed": "encrypted, decrypted",
    r"nobody(?:'s)?|somebody(?:'s)?|whoever": "name who or what is meant",
    r"the like": "similar",
    r"a yes": "confirmation",
    r"up to no good": "malicious",
    r"in the dark": "name what is unknown",
    r"(?:is|are|was|were|be|been) told": "is reported, is shown",
    r"(?:is|are|was|were|be|been) said": "is reported, is named",
    r"(?:tell|tells|told) (?:as|by|from|so|what|of|apart)": "report, show, distinguish",
    r"whole one|the whole of": "complete, all of",
}
# The same for everything but the tests.
STRICT_WORDS = WORDS | {
    r"(?<!there )(?<!what )(?:is|are|was|were) no (?!longer\b|more\b)": "is not a …",
    r"told": "reported, shown, asked, known",
    r"said(?![\"`])": "reported, printed, named",
    r"says? (?:yes|no|it|which|where|again)|you want to say|say \{": "answer, run, use, name",
    r"(?<![/\"'{_.`-])held(?![\"'}/_=`])": "paused, locked",
    r"stands? (?:in|above|below|beside|before|under|behind|between|alone|at|on|together)": "is",
    r"bears?": "has",
    r"(?:lies|lay) (?:in|there|below|beside|under)": "is",
    r"la(?:ys?|id) (?:it |them |one )?back": "restored",
    r"at hand": "available, known",
    r"all the same": "nevertheless",
    r"of ours": "of this tool",
    r"(?:came|comes?|become|becomes|became) of (?:it|them)": "the result",
    r"(?:lets?|letting) go of": "close, free",
    r"(?:on|under) (?:its|the|their) way|way back|(?:direct|long) way|in the way\b(?! that)": "route, rollback, during",
    r"by hand": "manually, yourself",
    r"whole(?! numbers?)": "complete, all of",
}


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(f'(?:{one})' for one in words)})\b", re.IGNORECASE)


PATTERN, STRICT = _pattern(WORDS), _pattern(STRICT_WORDS)
TEXTS = {".md", ".j2", ".toml", ".html", ".txt", ".css", ".js", ".sh"}
# written by docs/_generate.py from texts that are checked themselves
GENERATED = tuple(f"docs/reference/{name}.md" for name in ("cli", "errors", "events-table", "steps"))
LEFT_OUT = (
    *GENERATED,
    "docs/_build/",
    "requirements/",
    "tests/architecture/prose.py",
    "tests/architecture/test_prose.py",
    "tests/unit/tsadmin/corpora.py",  # questions in the words of many programs
)
EVERYTHING = (
    "tscm_migrate", "tests", "docs", "benchmarks", "changelog.d", "inventory", ".ci", "tasks.py", "try.py", "release.py",
    "pyproject.toml", "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md",
)  # fmt: skip
MARK = "prose: keep"  # on a line that quotes a program, or a word in another sense


def python_texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line number and text of each comment, string, and defined name of a Python file; a name as its words."""
    source = path.read_text(encoding="utf-8")
    before = ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if MARK in token.line and token.start[0] == token.end[0]:
            before = token.string
            continue
        if token.type in {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)}:
            yield from enumerate(token.string.splitlines(), token.start[0])
        elif before in {"def", "class"} and MARK not in token.line:
            yield token.start[0], token.string.replace("_", " ")
        before = token.string


def places(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield line number, the words found, and what to write instead."""
    strict = not path.resolve().is_relative_to(ROOT / "tests")
    if path.suffix == ".py":
        lines = python_texts(path)
    else:
        lines = iter(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        if MARK in line:
            continue
        for found in (STRICT if strict else PATTERN).finditer(line):
            rest = line[found.start() :]
            instead = next(text for word, text in STRICT_WORDS.items() if re.match(word, rest, re.IGNORECASE))
            yield number, found[0], instead


def files(names: list[str]) -> Iterator[Path]:
    """Yield the files to check: those below the given paths, or all of the project's."""
    for root in [Path(name) for name in names] or [ROOT / name for name in EVERYTHING]:
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            relative = path.resolve().relative_to(ROOT).as_posix() if path.resolve().is_relative_to(ROOT) else str(path)
            if path.is_file() and path.suffix in TEXTS | {".py"} and not relative.startswith(LEFT_OUT):
                yield path


def main(names: list[str]) -> int:
    """Print each place."""
    count = 0
    for path in files(names):
        for number, words, instead in places(path):
            print(f"{path.resolve().relative_to(ROOT)}:{number}: {words!r}: {instead}")  # noqa: T201
            count += 1
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
