"""`completion` and `man`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .base import command

if TYPE_CHECKING:
    from invoke.collection import Collection
    from invoke.tasks import Task


def tasks(root: Collection) -> tuple[Task[Any], ...]:
    """Return the tasks that describe a command tree.

    Args:
        root: the tree; it is read when they run.
    """

    @command(positional=["shell"], help={"shell": "bash, zsh, fish or powershell."})
    def completion(_context: Any, shell: str) -> None:
        """Print the completion script of a shell.

        Examples:
            tscm-migrate completion bash > ~/.local/share/bash-completion/completions/tscm-migrate
            tscm-migrate completion zsh > ~/.zfunc/_tscm-migrate
            tscm-migrate completion fish > ~/.config/fish/completions/tscm-migrate.fish
            tscm-migrate completion powershell >> $PROFILE
        """
        from tscm_migrate.cli import completion as scripts

        sys.stdout.write(scripts.script(shell))

    @command()
    def man(_context: Any) -> None:
        """Print the manual page, tscm-migrate(1).

        Examples:
            tscm-migrate man > ~/.local/share/man/man1/tscm-migrate.1
        """
        from tscm_migrate.cli import help_pages

        sys.stdout.write(help_pages.manual(root))

    return completion, man
