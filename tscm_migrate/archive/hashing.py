"""The SHA-256 of a file on an appliance: the shell source that computes it, and the reader of what that prints.

openssl is used where it works: it has the processor's SHA instructions, and is about four times faster than the
sha256sum of many distributions, which is the fallback. The source has no per cent sign, so a cron file can have it.
"""

import re

SHA256 = (
    "{ h=$(if openssl dgst -sha256 -r </dev/null >/dev/null 2>&1; then openssl dgst -sha256 -r; else sha256sum; fi) "
    '&& echo "$h" | cut -c1-64; }'
)
"""Shell source that prints the SHA-256 of its standard input on a line; its status is that of the program."""

_LINE = re.compile(r"^([0-9a-f]{64})\r?$", re.MULTILINE)


def of_file(path: str) -> str:
    """Return shell source that prints the SHA-256 of the file `path` (quoted for the shell)."""
    return f"{SHA256} < {path}"


def of_prefix(path: str, size: int) -> str:
    """Return shell source that prints the SHA-256 of the first `size` bytes of the file `path` (quoted)."""
    return f"head -c {size} {path} | {SHA256}"


def digest_in(text: str) -> str:
    """Return the first line of `text` that is a SHA-256 (64 hex digits); "" if no line is."""
    found = _LINE.search(text)
    return found[1] if found else ""
