"""Keys of the objects in a store; documented in docs/reference/manifest.md.

    hosts/HOST/archives/ARCHIVE~NONCE          the bytes, under a key that is used once
    hosts/HOST/archives/ARCHIVE~SHA16.json     the manifest, committed last; SHA16 is of the archive on the appliance
    hosts/HOST/records/ARCHIVE~SHA16/TIME~KIND~NONCE.json   later results: verified, drilled, tagged

A manifest's key follows from the content: of two runs that pull the same archive at once, one writes it and the other
finds it. If a server ignores the condition of a write, an equal manifest replaces an equal one.
"""

import re
import secrets
from datetime import datetime
from functools import lru_cache

HOSTS = "hosts"

_PLAIN = re.compile(r"[a-z0-9_-][a-z0-9._-]*")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


@lru_cache(maxsize=4096)
def host_part(name: str) -> str:
    """Return a host's name as one part of a key: letters other than `a-z0-9._-` become `~` and two hex digits a byte.

    So do capitals, because some file systems ignore case, and the first letter of names that Windows reserves.
    """
    text = "".join(
        char if re.fullmatch(r"[a-z0-9_-]", char) or (char == "." and at) else _escaped(char)
        for at, char in enumerate(name)
    )
    return _escaped(text[0]) + text[1:] if _RESERVED.fullmatch(text) else text


def _escaped(char: str) -> str:
    return "".join(f"~{byte:02x}" for byte in char.encode())


def archives(host: str) -> str:
    """Return the folder of a host's archives and manifests."""
    return f"{HOSTS}/{host_part(host)}/archives"


def records(host: str) -> str:
    """Return the folder of the records about a host's copies."""
    return f"{HOSTS}/{host_part(host)}/records"


def new_data(host: str, archive: str) -> str:
    """Return a new key for the bytes of one upload."""
    return f"{archives(host)}/{archive}~{secrets.token_hex(8)}"


def copy_id(archive: str, source_sha256: str) -> str:
    """Return what identifies a copy among those of its host."""
    return f"{archive}~{source_sha256[:16]}"


def manifest(host: str, copy: str) -> str:
    """Return the key of a copy's manifest."""
    return f"{archives(host)}/{copy}.json"


def new_record(host: str, copy: str, kind: str, now: datetime) -> str:
    """Return a new key for a record about a copy."""
    return f"{records(host)}/{copy}/{now:%Y%m%dT%H%M%SZ}~{kind}~{secrets.token_hex(4)}.json"
