"""Replaces programs about owners and users: chown, chgrp, install, stat, find, id, whoami."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .main import Shim

USERS = ("opt/", "home/", "var/log/threatstop", "dev/shm", "tmp/")


def owner_of(shim: Shim, path: str) -> str:
    """Return the owner of this path on a real appliance: the user below /opt, /home and the log folder, else root."""
    root = os.path.realpath(shim.config["root"]) + "/"
    for here in (os.path.abspath(path), os.path.realpath(path)):
        if here.startswith(root):
            return shim.config["user"] if f"{here.removeprefix(root)}/".startswith(USERS) else "root"
    return "root"


def chown(shim: Shim) -> int:
    """Change nothing, because no process is root here; succeed if the files exist."""
    words = [word for word in shim.argv if not word.startswith("-")]
    missing = [word for word in words[1:] if not os.path.exists(word)]
    for word in missing:
        shim.complain(f"{shim.name}: cannot access '{word}': No such file or directory")
    return 1 if missing or len(words) < 2 else 0


def install(shim: Shim) -> int:
    """Run the real `install` without owner and group."""
    kept, rest = [], list(shim.argv)
    while rest:
        word = rest.pop(0)
        if word in ("-o", "-g", "--owner", "--group"):
            if rest:
                rest.pop(0)
        elif not word.startswith(("--owner=", "--group=", "-o", "-g")):
            kept.append(word)
    shim.become(kept)


def stat(shim: Shim) -> int:
    """Run the real `stat`; %U, %G, %u and %g are those of a real appliance."""
    argv = list(shim.argv)
    at, head = _format(argv)
    if at is None:
        shim.become(argv)
    import subprocess

    text = argv[at][len(head) :]
    files = [word for word in argv[at + 1 :] if word == "-" or not word.startswith("-")]
    options = [word for word in argv[at + 1 :] if word.startswith("-") and word != "-"]
    status = 0
    for path in files:
        owner = owner_of(shim, path)
        number = "0" if owner == "root" else "1000"
        shown = text.replace("%U", owner).replace("%G", owner).replace("%u", number).replace("%g", number)
        status |= subprocess.call([shim.real(), *argv[:at], head + shown, *options, "--", path])
    return status


def _format(argv: list[str]) -> tuple[int | None, str]:
    """Return the index of the word with the format, and the part of it before the format; None without one."""
    found: tuple[int | None, str] = (None, "")
    for place, word in enumerate(argv):
        if word in ("-c", "--format", "--printf") and place + 1 < len(argv):
            found = place + 1, ""
        elif word.startswith(("--format=", "--printf=")):
            found = place, word.partition("=")[0] + "="
        elif word.startswith("-c") and len(word) > 2:
            found = place, "-c"
    return found


def find(shim: Shim) -> int:
    """Run the real `find`; %u and %g in -printf are those of a real appliance (by the first folder)."""
    start = next((word for word in shim.argv if not word.startswith("-")), ".")
    owner = owner_of(shim, start)
    shown = list(shim.argv)
    for number, word in enumerate(shown[:-1]):
        if word == "-printf":
            shown[number + 1] = shown[number + 1].replace("%u", owner).replace("%g", owner)
    shim.become(shown)


def identity(shim: Shim) -> int:
    """`id [-u|-g|-un|-gn|-Gn]` and `whoami`."""
    name = "root" if shim.is_root else shim.config["user"]
    number = 0 if shim.is_root else 1000
    letters = {letter for word in shim.argv if word.startswith("-") for letter in word[1:]}
    if shim.name == "whoami" or "n" in letters:
        shim.say(name)
    elif letters & {"u", "g", "G"}:
        shim.say(str(number))
    else:
        shim.say(f"uid={number}({name}) gid={number}({name}) groups={number}({name})")
    return 0
