"""The command tree, and the two commands that describe it: `completion` and `man`."""

import sys
from typing import Any

from invoke.collection import Collection
from invoke.tasks import Task

from tscm_migrate.cli import completion as scripts
from tscm_migrate.cli import help_pages
from tscm_migrate.tasks import (
    afterwards,
    archives,
    campaign,
    cluster,
    demo,
    migrate,
    offsite,
    offsite_care,
    prompts,
    runs,
    start,
)
from tscm_migrate.tasks.base import command


def namespace() -> Collection:
    """Return all commands, for the console script and for a checkout's tasks.py."""
    root = Collection("tscm_migrate")
    for task in (
        start.init, start.doctor, migrate.plan, migrate.migrate, migrate.rehearse, runs.resume, runs.rollback,
        demo.demo, afterwards.verify, archives.schedule, *describing_tasks(root),
    ):  # fmt: skip
        root.add_task(task)
    for module in (archives, campaign, cluster, prompts, runs):
        root.add_collection(module.collection())
    root.add_collection(start.keyring())
    root.add_collection(start.hosts())
    root.add_collection(afterwards.devices())
    root.add_collection(afterwards.reports())
    root.add_collection(afterwards.support())
    root.add_collection(Collection("offsite", *offsite.TASKS, *offsite_care.TASKS))
    return root


def describing_tasks(root: Collection) -> tuple[Task[Any], ...]:
    """Return the tasks that describe a command tree, which is read when they run."""

    @command(positional=["shell"], help={"shell": "bash, zsh, fish or powershell."})
    def completion(_context: Any, shell: str) -> None:
        """Print the completion script of a shell.

        Examples:
            tscm-migrate completion bash > ~/.local/share/bash-completion/completions/tscm-migrate
            tscm-migrate completion zsh > ~/.zfunc/_tscm-migrate
            tscm-migrate completion fish > ~/.config/fish/completions/tscm-migrate.fish
            tscm-migrate completion powershell >> $PROFILE
        """
        sys.stdout.write(scripts.script(shell))

    @command()
    def man(_context: Any) -> None:
        """Print the manual page, tscm-migrate(1).

        Examples:
            tscm-migrate man > ~/.local/share/man/man1/tscm-migrate.1
        """
        sys.stdout.write(help_pages.manual(root))

    return completion, man
