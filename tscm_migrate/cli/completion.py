"""Completion for shells. A script asks the tool itself, which offers commands, options, hosts, runs and archives.

Nothing is connected to: archives are those that `archive list` has shown last.
"""

import contextlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.parser.argument import Argument

from tscm_migrate.cli import arguments, help_pages
from tscm_migrate.errors import MigrateError, UsageError
from tscm_migrate.options import METHODS, NETWORKS, OFFLINE, PAUSES, ROUTES, check_names
from tscm_migrate.tasks.base import option_name
from tscm_migrate.util import private
from tscm_migrate.util.text import suggestion

SHELLS = ("bash", "zsh", "fish", "powershell")
FILES = ":files"  # the line that asks the shell for its own completion of files
_SAFE = re.compile(r"[\w.@:/+~\[\]-]{1,255}")
_SHOWN = 50  # runs or archives
_CHOICES: dict[str, Callable[[], Iterable[str]]] = {  # option → its values
    "method": lambda: METHODS,
    "route": lambda: ROUTES,
    "offline": lambda: OFFLINE,
    "network": lambda: NETWORKS,
    "pause-before": lambda: PAUSES,
    "devices": lambda: ("all", "none"),
    "allow": lambda: sorted(check_names()),
    "shell": lambda: SHELLS,
    "dialogue": lambda: ("restore", "backup", "update"),
    "every": lambda: ("hourly", "daily", "weekly"),
    "action": lambda: ("install", "show", "remove"),
    "role": lambda: ("scheduler", "worker"),
}


def script(shell: str) -> str:
    """Return the completion script of a shell.

    Raises:
        UsageError: an unknown shell.
    """
    if shell not in SHELLS:
        problem = f"no completion for {shell!r}{suggestion(shell, SHELLS)}"
        raise UsageError(problem, f"use one of: {', '.join(SHELLS)}")
    return _SCRIPTS[shell]


def candidates(words: list[str], root: Collection) -> Iterator[str]:
    """Yield what may follow, one on each line: the word, and after a tab what it is; FILES asks for names of files.

    `words` is what was typed after the tool's name, without the word at the cursor.
    """
    given = [word for word in words if word != "="]  # bash makes words of --option=value
    if given[-1:] and given[-1] in arguments.VALUED:
        yield FILES
        return
    at = arguments.command_at(given)
    command = given[at + 1 :] if given[at : at + 1] == ["help"] else given[at:]
    if not command:
        yield from _words(_first(root))
        yield from ("--inventory\tInventory file", "--help\tShow the help", "--version\tShow the version")
        return
    name, *rest = command
    if name in root.collections:
        if not rest:
            yield from _words((action, help_pages.first_line(task)) for action, task in _tasks(root, name))
            return
        name, *rest = f"{name}.{rest[0]}", *rest[1:]
    if name in root.task_names:
        yield from _for_task(root[name], rest, given)


def _first(root: Collection) -> Iterator[tuple[str, str]]:
    for names in help_pages.groups(root).values():
        yield from ((name, help_pages.summary(root, name)) for name in names)
    yield "help", "Show the help of a command"


def _tasks(root: Collection, group: str) -> Iterable[tuple[str, Any]]:
    tasks: dict[str, Any] = root.collections[group].tasks
    return tasks.items()


def _for_task(task: Any, words: list[str], given: list[str]) -> Iterator[str]:
    known: list[Argument] = task.get_arguments()
    by_flag = {arguments.flag(name): one for one in known for name in one.names}
    waiting = by_flag.get(words[-1]) if words else None
    if waiting is not None and waiting.takes_value:
        yield from _values(waiting, task, given)
        return
    free = len(arguments.free(words, known))
    places = help_pages.places(known, task)
    if places and (free < len(places) or places[-1].kind is list):
        yield from _values(places[min(free, len(places) - 1)], task, given)
    yield from _options(known, places, words)
    yield "--help\tShow the help of this command"


def _options(known: list[Argument], places: list[Argument], words: list[str]) -> Iterator[str]:
    """Yield the options that can still be given, with their help."""
    for one in known:
        flag = f"--{'no-' * (one.kind is bool and one.default is True)}{option_name(one)}"
        if one not in places and (one.kind is list or flag not in words):
            yield from _words([(flag, one.help or "")])


def _values(argument: Argument, task: Any, given: list[str]) -> Iterator[str]:
    """Yield the values that an argument may have, as far as they are known here."""
    name = option_name(argument)
    if name in _CHOICES:
        yield from _words((value, "") for value in _CHOICES[name]())
        return
    match task.values.get(name, ""):
        case "HOST":
            yield from _words(_hosts(given))
        case "GROUP":
            yield from _words((group, "") for group in _inventory(given).get("groups", {}))
        case "RUN" | "RUN|HOST":
            yield from _words((run, "") for run in _runs())
        case "ARCHIVE" | "COPY":
            yield from _words((value, "") for value in ("latest", "all"))
            yield from _words((archive, "") for archive in remembered_archives(given)[:_SHOWN])
        case "FILE" | "FOLDER":
            yield FILES


def _words(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield candidates, without those that a shell could take for anything but a word: some names come from outside."""
    for word, about in rows:
        if _SAFE.fullmatch(word):
            yield f"{word}\t{' '.join(about.split())}"


def _hosts(given: list[str]) -> Iterator[tuple[str, str]]:
    for name, table in _inventory(given).get("hosts", {}).items():
        yield name, str(table.get("address", "")) if isinstance(table, dict) else ""


def _inventory(given: list[str]) -> dict[str, Any]:
    """Return the inventory's tables as they are written; empty if it cannot be read."""
    from tscm_migrate.inventory.read import find

    named = [given[at + 1] for at, word in enumerate(given[:-1]) if word in arguments.VALUED]
    with contextlib.suppress(MigrateError, OSError, ValueError):
        path = find(Path(named[-1]) if named else None)
        if path is not None:
            return tomllib.loads(path.read_text(encoding="utf-8"))
    return {}


def _runs() -> list[str]:
    with contextlib.suppress(OSError, RuntimeError):
        return sorted((path.name for path in (private.state_folder() / "runs").iterdir()), reverse=True)[:_SHOWN]
    return []


_BASH = r"""# tscm-migrate completion for bash: source it, or put it into
# ~/.local/share/bash-completion/completions/tscm-migrate
_tscm_migrate() {
  local cur="${COMP_WORDS[COMP_CWORD]}" word
  COMPREPLY=()
  [ "$cur" = "=" ] && cur=""
  while IFS=$'\t' read -r word _; do
    case "$word" in
      :files) compopt -o default 2>/dev/null ;;
      "$cur"*) COMPREPLY+=("$word") ;;
    esac
  done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD-1}" 2>/dev/null)
}
complete -F _tscm_migrate tscm-migrate
"""
_ZSH = r"""#compdef tscm-migrate
# tscm-migrate completion for zsh: put it into a folder of $fpath as _tscm-migrate, or source it
_tscm_migrate() {
  local line files; local -a offered
  for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT-1]}" 2>/dev/null)}"; do
    case "$line" in
      :files) files=1 ;;
      ?*) offered+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
    esac
  done
  (( $#offered )) && _describe -t values tscm-migrate offered
  [ -n "$files" ] && _files
}
# From a folder of $fpath this file is the body of the function at its first call; sourced, it only defines it.
if [ "${funcstack[1]}" = _tscm-migrate ]; then _tscm_migrate "$@"
else compdef _tscm_migrate tscm-migrate; fi
"""
_FISH = r"""# tscm-migrate completion for fish: put it into ~/.config/fish/completions/tscm-migrate.fish
function __tscm_migrate_complete
    set -l words (commandline -opc)
    set -l tool $words[1]
    set -e words[1]
    for line in ($tool __complete $words 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end
complete -c tscm-migrate -f -a '(__tscm_migrate_complete)'
"""
_POWERSHELL = r"""# tscm-migrate completion for PowerShell: add it to the file that $PROFILE names
Register-ArgumentCompleter -Native -CommandName tscm-migrate -ScriptBlock {
  param($word, $ast, $position)
  $typed = @($ast.CommandElements | Where-Object { $_.Extent.EndOffset -lt $position } | ForEach-Object { "$_" })
  $rest = @($typed | Select-Object -Skip 1)
  & $typed[0] __complete @rest 2>$null | ForEach-Object {
    $value, $about = $_ -split "`t", 2
    if ($value -ne ':files' -and $value -like "$word*") {
      if (-not $about) { $about = $value }
      [System.Management.Automation.CompletionResult]::new($value, $value, 'ParameterValue', $about) } }
}
"""
_SCRIPTS = dict(zip(SHELLS, (_BASH, _ZSH, _FISH, _POWERSHELL), strict=True))


_ARCHIVES_FILE = "archives.json"
_MOST_ARCHIVES = 200  # names of a host


def remember(host: str, names: Iterable[str]) -> None:
    """Keep the names of a host's archives, newest first."""
    with contextlib.suppress(MigrateError, OSError):
        known = {**_remembered(), host: list(names)[:_MOST_ARCHIVES]}
        private.write(private.private_folder("completion") / _ARCHIVES_FILE, json.dumps(known))


def remembered_archives(hosts: Sequence[str]) -> list[str]:
    """Return the names of the archives of those hosts that are known; other words may be among them."""
    known = _remembered()
    return [name for host in hosts for name in known.get(host, ())]


def _remembered() -> dict[str, list[str]]:
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        data = json.loads((private.state_folder() / "completion" / _ARCHIVES_FILE).read_text(encoding="utf-8"))
        if isinstance(data, dict):
            return {str(host): [str(name) for name in names] for host, names in data.items() if isinstance(names, list)}
    return {}
