"""`completion` and `manual`: for the shell, and for `man`."""

from __future__ import annotations

import sys
from typing import Any

from .base import command


@command(positional=["shell"], help={"shell": "bash, zsh, fish or powershell."})
def completion(_context: Any, shell: str) -> None:
    """Print the completion script of a shell.

    Examples:
        tscm-migrate completion bash > ~/.local/share/bash-completion/completions/tscm-migrate
        tscm-migrate completion zsh > ~/.zfunc/_tscm-migrate
        tscm-migrate completion fish > ~/.config/fish/completions/tscm-migrate.fish
        tscm-migrate completion powershell >> $PROFILE
    """
    from tscm_migrate.cli import completion as shells

    from . import namespace

    sys.stdout.write(shells.script(shell, namespace()))


@command()
def manual(_context: Any) -> None:
    """Print the manual page, for `man`.

    Examples:
        tscm-migrate manual > ~/.local/share/man/man1/tscm-migrate.1
    """
    from tscm_migrate.cli import completion as shells

    from . import namespace

    sys.stdout.write(shells.manual(namespace()))
