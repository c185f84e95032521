"""Default no-op implementations for steps."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, ClassVar

from tscm_migrate.errors import UnknownPrompt, Untaught

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tscm_migrate.migration.context import Actions, Migration


@contextlib.contextmanager
def refusing_unknown(m: Migration) -> Iterator[None]:
    """Refuse the migration on an unknown question while the old appliance serves; the remedy is to teach it."""
    try:
        yield
    except UnknownPrompt as unknown:
        asked = {"prompt": unknown.prompt, "transcript": unknown.transcript}
        raise Untaught(unknown.host, unknown.detail, **asked, learn=m.options.learn_command) from unknown


class BaseStep:
    """Defaults of a step; see `engine.Step`."""

    id: ClassVar[str]
    title: ClassVar[str]
    cutover: ClassVar[bool] = False
    revert_summary: ClassVar[str] = ""

    def capture(self, _m: Migration) -> dict[str, Any]:
        """Return nothing: `revert` needs nothing."""
        return {}

    def verify(self, _m: Migration) -> None:
        """Check nothing: `apply` has checked it."""

    def revert(self, _m: Migration, _undo: dict[str, Any]) -> Actions:
        """Undo nothing: the step changes nothing that has to be undone."""
        yield from ()
