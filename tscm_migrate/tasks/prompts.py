"""`prompts explain`, `learn`, `record` and `replay`: what a question is answered, and what an appliance asks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from invoke.collection import Collection

from tscm_migrate.errors import AnswersNotSaved, Exit, UsageError

from .base import HOST_HELP, INVENTORY_HELP, command
from .confirm import attended
from .migrate import HELP, inventory_of, start


def collection() -> Collection:
    """The tasks about prompts."""
    return Collection("prompts", explain, learn, record, replay)


@command(
    help={
        "dialogue": "restore, backup or update: the dialogue that they are asked in (default: restore).",
        "set": "A value that questions show or ask for, as address=10.1.1.43; may be repeated.",
        "host": "Use the dialect of this host of the inventory, too.",
        "json": "Print one JSON object a line, also on a terminal.",
        "inventory": INVENTORY_HELP,
    },
    iterable=["set"],
)
def explain(
    _context: Any,
    dialogue: str = "restore",
    set: list[str] | None = None,  # noqa: A002 - the flag's name
    host: str | None = None,
    json: bool = False,
    inventory: str | None = None,
) -> None:
    r"""Read questions from the standard input, and show for each what it would be answered, by which row, and why.

    A question is one JSON string a line: the lines that are shown, joined by \n, of which the last one waits. A JSON
    list of such strings is one dialogue, each question asked after the answer to the one before. No appliance is
    needed. Where the output is not a terminal, each answer is one JSON object a line.

    Examples:
        echo '"Restore cron? [y/n] "' | tscm-migrate prompts explain --json -
    """
    from tscm_migrate.cli.failures import name_inventory
    from tscm_migrate.inventory.read import load
    from tscm_migrate.tsadmin import explaining
    from tscm_migrate.tsadmin.reader import dialects
    from tscm_migrate.ui.console import as_it_is, as_json

    as_data = json or not sys.stdout.isatty()
    name_inventory(as_json=as_data)
    site = load(Path(inventory) if inventory else None)
    intent = explaining.intent(set or [], dialogue)
    known = dialects((site.host(host) if host else site.pattern).dialect)
    for found in explaining.explained(sys.stdin, dialogue, intent, known):
        if as_data:
            as_json(explaining.as_dict(found), indent=None)
        else:
            as_it_is(explaining.as_text(found))


@command(
    positional=["name"],
    help={
        "name": "The new appliance: an inventory name, or user@address[:port].",
        "allow": "Acknowledge a refusal of a check by its name; may be repeated.",
        **{key: HELP[key] for key in ("from_", "archive", "store", "passphrase_file", "encrypt", "interface")},
        "bypass_netconf": "As for the migration: the restore is not followed up to its question about the network.",
        "quiet": HELP["quiet"],
        "verbose": HELP["verbose"],
        "inventory": INVENTORY_HELP,
    },
    iterable=["allow"],
)
def learn(
    _context: Any,
    name: str,
    from_: str | None = None,
    archive: str = "new",
    store: str | None = None,
    passphrase_file: str | None = None,
    encrypt: bool = True,
    interface: str | None = None,
    bypass_netconf: bool = False,
    allow: list[str] | None = None,
    quiet: bool = False,
    verbose: bool = False,
    inventory: str | None = None,
) -> int:
    """Rehearse a migration with you at the terminal, save the answers that you teach, and put everything back.

    Does what `migrate` does while the old appliance serves: holds its updates, makes a backup, copies and verifies it,
    and rehearses the restore on the new appliance. Afterwards both are as before; the backup stays. Answer what is
    asked as it will be answered by `migrate` with the same options.

    The exit code is 4 where an answer could not be saved: `migrate --yes` would stop at that question.

    Examples:
        tscm-migrate prompts learn tscm-new --from tscm-old
    """
    from tscm_migrate.options import MigrateOptions
    from tscm_migrate.ui.operator import Terminal
    from tscm_migrate.util.redact import outside

    given = {key: value for key, value in locals().items() if key not in ("_context", "name")}
    options = MigrateOptions.parse({**given, "to": name})
    site = inventory_of(options)
    if not attended():
        raise UsageError("not running in a terminal, so can't ask", f"run it in a terminal: {options.learn_command}")
    person = Terminal(attended=True)
    status = start(options, quiet=quiet, verbose=verbose, only_rehearsal="prompts learn", operator=person)
    if person.unsaved and status == Exit.DONE:
        questions = tuple((outside(question), outside(why)) for question, why in person.unsaved.items())
        command = options.learn_command.replace("prompts learn", "migrate --to")
        raise AnswersNotSaved(questions, command, str(site.host(name).dialect))
    return status


@command(
    positional=["name"],
    help={
        "name": HOST_HELP,
        "dialogue": "restore or backup (default: restore). What you answer really happens there.",
        "out": "Where the recording goes (default: HOST.DIALOGUE.json).",
        "inventory": INVENTORY_HELP,
    },
)
def record(
    _context: Any, name: str, dialogue: str = "restore", out: str | None = None, inventory: str | None = None
) -> None:
    """Run a dialogue on an appliance, answer it yourself, and write down what it asked.

    What no dialect knows can be remembered in the dialect of the inventory.

    Examples:
        tscm-migrate prompts record tscm-new --dialogue restore
    """
    from tscm_migrate.inventory.read import load
    from tscm_migrate.tsadmin import recording
    from tscm_migrate.ui.console import say
    from tscm_migrate.ui.operator import Terminal

    host = load(Path(inventory) if inventory else None).host(name)
    made = recording.record(host, dialogue, Terminal(attended=attended()))
    path = Path(out or f"{host.name}.{dialogue}.json")
    made.write(path)
    say(f"{len(made.asked)} questions, in {path}")


@command(
    positional=["recording"], help={"recording": "The file that `prompts record` wrote.", "inventory": INVENTORY_HELP}
)
def replay(_context: Any, recording: str, inventory: str | None = None) -> int:
    """Print the kind of each question of a recording; exit code 4 where a person would have to answer one.

    Examples:
        tscm-migrate prompts replay tscm-new.restore.json
    """
    from tscm_migrate.inventory.read import load
    from tscm_migrate.tsadmin import recording as recorded
    from tscm_migrate.ui.console import say
    from tscm_migrate.util.redact import outside

    made = recorded.Recording.read(Path(recording))
    site = load(Path(inventory) if inventory else None)
    host = site.hosts.get(made.host) or site.host("replayed@127.0.0.1")
    found = recorded.replay(made, host)
    say("\n".join(f"{kind or 'NOBODY':<16} {outside(question)}" for question, kind in found))
    return 0 if all(kind for _, kind in found) else 4
