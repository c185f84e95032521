"""Names of archives that `archive list` has shown, for the completion of the shell. Errors are ignored."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from tscm_migrate.errors import MigrateError
from tscm_migrate.util import private
from tscm_migrate.util.private import private_folder, state_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FILE = "archives.json"
_MOST = 200  # names of a host


def remember(host: str, names: Iterable[str]) -> None:
    """Keep the names of a host's archives, newest first."""
    with contextlib.suppress(MigrateError, OSError):
        known = {**_read(), host: list(names)[:_MOST]}
        private.write(private_folder("completion") / _FILE, json.dumps(known))


def archives(hosts: Sequence[str]) -> list[str]:
    """Return the names of the archives of those hosts that are known; other words may be among them."""
    known = _read()
    return [name for host in hosts for name in known.get(host, ())]


def _read() -> dict[str, list[str]]:
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        data = json.loads((state_folder() / "completion" / _FILE).read_text(encoding="utf-8"))
        if isinstance(data, dict):
            return {str(host): [str(name) for name in names] for host, names in data.items() if isinstance(names, list)}
    return {}
