"""Reference pages made from the code, at each build of the documentation; they are not kept in the repository."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

from tscm_migrate import errors, events
from tscm_migrate.cli import help_pages
from tscm_migrate.cli.failures import as_text
from tscm_migrate.cli.program import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tscm_migrate.migration.engine import Step

_UNDONE = (
    "before the cutover everything was undone; after it, or where that failed, the last lines name what is paused or "
    "offline, with the commands that resume the run or roll it back"
)
_LEFT = {
    errors.Exit.FAILED: _UNDONE,
    errors.Exit.USAGE: "nothing was started",
    errors.Exit.REFUSED: "nothing was changed",
    errors.Exit.ATTENTION: "everything that could be done is done; the last lines name the rest",
    errors.Exit.INTERRUPTED: "the last lines name what is paused or offline, and how to resume or roll back",
    errors.Exit.HOST_KEY: f"nothing was sent to that host; {_UNDONE}",
}
_SAMPLES: dict[str, Any] = {
    "questions": (("QUESTION", "WHY"),),
    "names": ("NAME",), "items": ("…",), "processes": ("…",), "places": (), "ours": ("OURS",), "theirs": ("THEIRS",),
    "kind": "key exchange", "startup": "~/.bashrc line 3: exec zsh",
}  # fmt: skip

_LEFT_OUT = {"fix"}  # a field that replaces the usual remedy


def write(folder: Path) -> None:
    """Write the pages into docs/reference, where they changed."""
    for name, text in (("cli.md", cli()), ("errors.md", error_page()), ("events-table.md", events_table()),
                       ("steps.md", step_page())):  # fmt: skip
        page = folder / name
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def cli() -> str:
    """Every command with its options, in the order of the help."""
    root = program().namespace
    lines = [
        "# Command line",
        "",
        "`tscm-migrate help COMMAND` shows the same. `--inventory`, `--json`, `--yes`, `--quiet` and",
    ]
    lines += ["`--verbose` can be given before or after a command that has them. `--traceback` (or the variable"]
    lines += ["`TSCM_TRACEBACK=1`) shows a traceback with an error. In a checkout `invoke host.pin HOST` means"]
    lines += [
        "`tscm-migrate host pin HOST`.",
        "",
        "Durations are written as in `30m`, `36h`, `3d` or `1d12h`, sizes and rates as in `20M`.",
    ]
    for title, names in help_pages.groups(root).items():
        lines += ["", f"## {title}"]
        for name in names:
            inner = [f"{name}.{action}" for action in root.collections[name].tasks] if name in root.collections else []
            for task in inner or [name]:
                lines += _command(root[task], task.replace(".", " "))
    return "\n".join(lines) + "\n"


def _command(task: Any, name: str) -> Iterator[str]:
    arguments = task.get_arguments()
    places = [one for one in arguments if one.positional or one.names[0] == task.trailing]
    words = [help_pages.placed(one, task) for one in places]
    yield from ("", f"### {name}", "", "```text", " ".join(["tscm-migrate", name, *words, "[options]"]), "```", "")
    yield from _prose(inspect.getdoc(task) or "")
    yield from ("", "| option | meaning |", "| --- | --- |") if arguments else ()
    for one in arguments:
        shown = help_pages.placed(one, task) if one in places else help_pages.flags(one, task)
        yield f"| `{shown}` | {_cell(one.help or '')} |".replace("RUN|HOST", "RUN\\|HOST")


def error_page() -> str:
    """Every error: the text that a user sees, what it means, its exit code, the state it leaves, what to do."""
    lines = ["# Errors", "", "Every error has a stable code, shown in parentheses below the message (and in `--json`)."]
    lines += ["Words in capitals are placeholders. If an error interrupts a run that cannot be undone, the run ends"]
    lines += ["with `interrupted`, which contains the error as its reason.", ""]
    for error in tree(errors.MigrateError):
        depth = error.__mro__.index(errors.MigrateError)
        lines += [f"{'  ' * depth}- `{error.code}`, exit code {int(error.exit_code)}"]
    for error in tree(errors.MigrateError):
        lines += ["", f"## {error.code}", "", about(error), "", "```text"]
        lines += ["\n\n".join(as_text(sample) for sample in examples(error)), "```", ""]
        lines += [f"- exit code: {int(error.exit_code)}", f"- state afterwards: {_LEFT[error.exit_code]}"]
        lines += [f"- try again: {error.retry.value.replace('-', ' ')}"]
    return "\n".join(lines) + "\n"


def about(error: type[errors.MigrateError]) -> str:
    """Return what an error means: its docstring without the description of its fields."""
    return re.split(r"\n\n(?:Args|Attributes):", inspect.getdoc(error) or "")[0]


def step_page() -> str:
    """The steps of a migration, in their order."""
    from tscm_migrate.migration.plan import steps

    usual = [step.id for step in steps()]
    rescue = [step for step in steps(dead=True) if step.id not in usual]
    lines = [
        "# Steps of a migration",
        "",
        "The steps in their order. The ID is in the [journal](journal.md), in `--json` and in",
    ]
    lines += ["the report; it is never renamed. Before them both appliances are identified and checked, which changes"]
    lines += [
        "nothing. A step that does not apply to a run is skipped. If a step of the staging half fails, everything is"
    ]
    lines += ["undone; in the cutover half the run stops, lists what is paused or offline, and waits for `resume` or"]
    lines += ["`rollback`.", "", "| id | half | what it does |", "| --- | --- | --- |"]
    lines += [_step_row(step) for step in steps()]
    lines += ["", "Where the old appliance is dead, these steps replace the steps that would need it:", ""]
    lines += ["| id | half | what it does |", "| --- | --- | --- |", *(_step_row(step) for step in rescue)]
    return "\n".join(lines) + "\n"


def _step_row(step: Step) -> str:
    half = "cutover" if step.cutover else "staging"
    return f"| `{step.id}` | {half} | {_cell(' '.join((inspect.getdoc(step) or '').split()))} |"


def events_table() -> str:
    """Every event with its fields; included by json-events.md."""
    lines = ["| event | meaning | fields |", "| --- | --- | --- |"]
    for event in events.Event.__subclasses__():
        about = " ".join((inspect.getdoc(event) or "").split("\n\n")[0].split())
        named = ", ".join(f"`{field.name}`" for field in fields(event))
        made = event.__new__(event)
        lines += [f"| `{made.kind}` | {_cell(about)} | {named} |"]
    return "\n".join(lines) + "\n"


def tree(root: type[errors.MigrateError]) -> Iterator[type[errors.MigrateError]]:
    """The error and all below it, parents first; one entry a code."""
    seen: set[str] = set()
    stack = [root]
    while stack:
        error = stack.pop(0)
        if error.code not in seen:
            seen.add(error.code)
            yield error
        stack = error.__subclasses__() + stack


def example(error: type[errors.MigrateError], **given: Any) -> errors.MigrateError:
    """One with placeholders in its fields."""
    for field in fields(error):
        required = field.default is MISSING and field.default_factory is MISSING
        if field.name in _SAMPLES:
            given.setdefault(field.name, _SAMPLES[field.name])
        elif required or field.default == "":
            given.setdefault(field.name, "" if field.name in _LEFT_OUT else field.name.upper())
    return error(**given)


def examples(error: type[errors.MigrateError]) -> list[errors.MigrateError]:
    """Return one example for each text that an error can have: its fields that are true or false decide."""
    flags = [field.name for field in fields(error) if isinstance(field.default, bool)]
    made = [example(error)] + [example(error, **{name: not getattr(error, name)}) for name in flags]
    return list({as_text(one): one for one in made}.values())


def _prose(docstring: str) -> list[str]:
    """A docstring as Markdown: its examples become a code block."""
    text, _, examples = docstring.partition("Examples:\n")
    lines = text.strip().splitlines()
    if examples:
        lines += ["", "```sh", *inspect.cleandoc(examples).splitlines(), "```"]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
