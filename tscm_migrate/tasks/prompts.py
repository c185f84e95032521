"""`prompts explain|learn|record|replay`: questions that tsadmin asks, and their answers."""

import sys
from pathlib import Path
from typing import Any

from invoke.collection import Collection

from tscm_migrate.cli.failures import name_inventory
from tscm_migrate.errors import AnswersNotSaved, Exit, UsageError
from tscm_migrate.options import MigrateOptions
from tscm_migrate.tasks.base import HOST_HELP, attended, command, site_of
from tscm_migrate.tasks.migrate import HELP, inventory_of, start
from tscm_migrate.ui.console import as_it_is, as_json, say
from tscm_migrate.util.redact import outside


def collection() -> Collection:
    """Return the commands below `prompts`."""
    return Collection("prompts", explain, learn, record, replay)


@command(
    help={
        "dialogue": "Dialogue in which the questions are asked: restore, backup or update.",
        "set": ("KEY=VALUE", "Value that questions show or ask for, e.g. address=10.1.1.43."),
        "host": ("HOST", "Also use the dialect of this host of the inventory."),
        "json": "Print JSON, one object on each line, also on a terminal.",
    },
    trailing="host",
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
    r"""Show how questions would be answered.

    Reads questions from standard input, and shows the answer to each, the row that gives it, and why. Each line is a
    question as a JSON string: the lines that tsadmin shows, joined by \n; the last one is the question. A JSON list
    of such strings is a dialogue, in which each question follows the answer to the previous one. No appliance is
    needed. If the output is not a terminal, each answer is a JSON object on one line.

    Examples:
        echo '"Restore cron? [y/n] "' | tscm-migrate prompts explain --json -
        tscm-migrate prompts explain tscm-old --dialogue backup
    """
    from tscm_migrate.tsadmin import explaining
    from tscm_migrate.tsadmin.reader import dialects

    as_data = json or not sys.stdout.isatty()
    name_inventory(as_json=as_data)
    site = site_of(inventory)
    intent = explaining.intent(set or [], dialogue)
    known = dialects((site.host(host) if host else site.pattern).dialect)
    for answer in explaining.explained(sys.stdin, dialogue, intent, known):
        if as_data:
            as_json(explaining.as_dict(answer), indent=None)
        else:
            as_it_is(explaining.as_text(answer))


@command(
    positional=["name"],
    help={
        "name": ("HOST", "New appliance: a name in the inventory, or [user@]address[:port]."),
        "allow": HELP["allow"],
        **{key: HELP[key] for key in ("from_", "archive", "store", "passphrase_file", "encrypt", "interface")},
        "bypass_netconf": "Rehearse for a migration with this option: the question about the network is not reached.",
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
    """Rehearse a migration and save your answers to unknown questions.

    Asks you what no dialect knows, and undoes everything afterwards. Does what `migrate` does before the cutover:
    pauses the updates of the old appliance, makes a backup, copies and verifies it, and rehearses the restore on the
    new appliance. Afterwards both are as before, except that the backup stays. `migrate` with the same options will
    give the answers that you give here.

    Exit codes: 0, all answers are saved; 4, an answer could not be saved, and `migrate --yes` would stop there.

    Examples:
        tscm-migrate prompts learn tscm-new --from tscm-old
    """
    from tscm_migrate.ui.operator import Terminal

    given = {key: value for key, value in locals().items() if key not in ("_context", "name")}
    if not from_ and archive in {"new", "latest", "all"}:
        raise UsageError("missing option: --from, the old appliance", f"tscm-migrate prompts learn {name} --from OLD")
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
        "dialogue": "Dialogue to run: restore or backup. It makes a real restore or backup.",
        "out": ("FILE", "File for the recording (default: HOST.DIALOGUE.json)."),
    },
)
def record(
    _context: Any, name: str, dialogue: str = "restore", out: str | None = None, inventory: str | None = None
) -> None:
    """Record the questions of a dialogue on an appliance.

    You answer them yourself at the terminal.

    Answers to questions that no dialect knows can be saved in the dialect of the inventory.

    Examples:
        tscm-migrate prompts record tscm-new --dialogue restore
    """
    from tscm_migrate.tsadmin import recording
    from tscm_migrate.ui.operator import Terminal

    host = site_of(inventory).host(name)
    made = recording.record(host, dialogue, Terminal(attended=attended()))
    path = Path(out or f"{host.name}.{dialogue}.json")
    made.write(path)
    say(f"{len(made.asked)} questions, in {path}")


@command(
    positional=["recording"],
    help={"recording": ("FILE", "File that `prompts record` wrote.")},
)
def replay(_context: Any, recording: str, inventory: str | None = None) -> int:
    """Print the kind of each question of a recording.

    Exit codes: 0, all questions are known; 4, at least one is unknown.

    Examples:
        tscm-migrate prompts replay tscm-new.restore.json
    """
    from tscm_migrate.tsadmin import recording as recorded

    made = recorded.Recording.read(Path(recording))
    site = site_of(inventory)
    host = site.hosts.get(made.host) or site.host("replayed@127.0.0.1")
    kinds = recorded.replay(made, host)
    say("\n".join(f"{kind or 'UNKNOWN':<16} {outside(question)}" for question, kind in kinds))
    return 0 if all(kind for _, kind in kinds) else 4
