"""Completion scripts and the manual page, made from the tasks; nothing is started when a tab is pressed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tscm_migrate.errors import UsageError
from tscm_migrate.util.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable

    from invoke.collection import Collection

Tree = dict[str, list[str]]  # "migrate" or "host pin" → its options; "host" → []


def tree(root: Collection) -> Tree:
    """Every task as it is typed, with its options."""
    found: Tree = {}
    for context in root.to_contexts():
        name = str(context.name).replace(".", " ")
        positional = {f"--{a.name}" for a in context.positional_args}
        flags = [flag for flag in context.flags if flag.startswith("--") and flag not in positional]
        found[name] = sorted([*flags, *context.inverse_flags, "--help"])
    return dict(sorted(found.items()))


def script(shell: str, root: Collection) -> str:
    """The completion script of a shell.

    Raises:
        UsageError: it is none of those known.
    """
    if shell not in _SHELLS:
        raise UsageError(f"no completion for {shell!r}{suggestion(shell, _SHELLS)}", f"one of: {', '.join(_SHELLS)}")
    return _SHELLS[shell](tree(root))


def _firsts(found: Tree) -> list[str]:
    return sorted({name.split()[0] for name in found})


def _seconds(found: Tree) -> Tree:
    groups: Tree = {}
    for name in found:
        first, _, second = name.partition(" ")
        if second:
            groups.setdefault(first, []).append(second)
    return groups


def _bash(found: Tree) -> str:
    cases = [f'    "{group}") words="{" ".join(actions)}" ;;' for group, actions in _seconds(found).items()]
    cases += [f'    "{name}") words="{" ".join(options)}" ;;' for name, options in found.items()]
    return "\n".join([
        "# tscm-migrate completion for bash: source it, or put it into",
        "# ~/.local/share/bash-completion/completions/tscm-migrate",
        "_tscm_migrate() {",
        '  local cur="${COMP_WORDS[COMP_CWORD]}" words="" key="${COMP_WORDS[1]}"',
        f'  case " {" ".join(_seconds(found))} " in *" $key "*)',
        '    [ "$COMP_CWORD" -gt 2 ] && key="$key ${COMP_WORDS[2]}" ;; esac',
        f'  if [ "$COMP_CWORD" -eq 1 ]; then words="{" ".join(_firsts(found))} --help --list --version"; else',
        '  case "$key" in', *cases, "  esac; fi",
        '  COMPREPLY=( $(compgen -W "$words" -- "$cur") )', "}",
        "complete -o default -F _tscm_migrate tscm-migrate", "",
    ])  # fmt: skip


def _zsh(found: Tree) -> str:
    cases = [f'    "{group}") offered=({" ".join(actions)}) ;;' for group, actions in _seconds(found).items()]
    cases += [f'    "{name}") offered=({" ".join(options)}) ;;' for name, options in found.items()]
    return "\n".join([
        "#compdef tscm-migrate",
        "# tscm-migrate completion for zsh: put it into a folder of $fpath as _tscm-migrate, or source it",
        "_tscm_migrate() {",
        '  local key="${words[2]}"; local -a offered',
        f'  case " {" ".join(_seconds(found))} " in *" $key "*)',
        '    (( CURRENT > 3 )) && key="$key ${words[3]}" ;; esac',
        f"  if (( CURRENT == 2 )); then offered=({' '.join(_firsts(found))} --help --list --version); else",
        '  case "$key" in', *cases, "  esac; fi",
        "  compadd -a offered || _files", "}",
        # the file of a folder in $fpath is the function's body the first time; sourced, it only tells of the function
        'if [ "${funcstack[1]}" = _tscm-migrate ]; then _tscm_migrate "$@"',
        "else compdef _tscm_migrate tscm-migrate; fi", "",
    ])  # fmt: skip


def _fish(found: Tree) -> str:
    lines = ["# tscm-migrate completion for fish: put it into ~/.config/fish/completions/tscm-migrate.fish"]
    groups = _seconds(found)
    lines += [f"complete -c tscm-migrate -n __fish_use_subcommand -f -a {first}" for first in _firsts(found)]
    for group, actions in groups.items():
        seen = f"__fish_seen_subcommand_from {group}; and not __fish_seen_subcommand_from {' '.join(actions)}"
        lines.append(f"complete -c tscm-migrate -n '{seen}' -f -a '{' '.join(actions)}'")
    for name, options in found.items():
        seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in name.split())
        lines += [f"complete -c tscm-migrate -n '{seen}' -l {option[2:]}" for option in options]
    return "\n".join(lines) + "\n"


def _powershell(found: Tree) -> str:
    table = {"": [*_firsts(found), "--help", "--list", "--version"], **_seconds(found), **found}
    return "\n".join([
        "# tscm-migrate completion for PowerShell: add it to the file that $PROFILE names",
        "Register-ArgumentCompleter -Native -CommandName tscm-migrate -ScriptBlock {",
        "  param($word, $ast, $position)",
        f"  $known = '{json.dumps(table, separators=(',', ':'))}' | ConvertFrom-Json",
        '  $typed = @($ast.CommandElements | Select-Object -Skip 1 | ForEach-Object { "$_" })',
        "  $typed = @($typed | Where-Object { $_ -ne $word })",
        "  $named = @($typed | Where-Object { -not $_.StartsWith('-') })",
        "  $key = ''; if ($named.Count -ge 1) { $key = $named[0] }",
        '  if ($named.Count -ge 2 -and $known.PSObject.Properties["$($named[0]) $($named[1])"]) {',
        '    $key = "$($named[0]) $($named[1])" }',
        '  $known.PSObject.Properties[$key].Value | Where-Object { $_ -like "$word*" } | ForEach-Object {',
        "    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_) }",
        "}", "",
    ])  # fmt: skip


_SHELLS: dict[str, Callable[[Tree], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish, "powershell": _powershell}
