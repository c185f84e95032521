"""The documented options of tsadmin and ts-backup."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import Machine

FLAGS = {"all"}
NUMBERS = {"debug", "bypass_netconf", "leave_tmp_files", "force_apply_netconf"}


@dataclass
class Options:
    """Parsed arguments; names and defaults as documented."""

    words: list[str] = field(default_factory=list)
    interface: str = "eth0"
    action: str = "backup"
    gpg_passphrase: str = ""
    gpg_passphrase_file: str = ""
    type: str = ""
    debug: int = 5
    bypass_netconf: int = 0
    leave_tmp_files: int = 0
    force_apply_netconf: int = 0
    all: int = 0


def parse(machine: Machine, argv: list[str]) -> Options:
    """`--name=value` and `--name value`; anything unknown ends the program with status 2."""
    options = Options()
    known = {f.name for f in fields(Options)} - {"words"}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            options.words.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if name not in known:
            machine.fail(f"Unknown option: --{name}", 2)
        if not equals:
            value = "1" if name in FLAGS else rest.pop(0) if rest else ""
        if name in NUMBERS | FLAGS:
            if not value.isdigit():
                machine.fail(f"--{name} wants a number", 2)
            setattr(options, name, int(value))
        else:
            setattr(options, name, value)
    if not 1 <= options.debug <= 7:
        machine.fail("--debug wants a number from 1 to 7", 2)
    machine.debug = options.debug
    return options
