"""Shell completion in bash, fish and zsh, and the manual page in groff."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.pages import ROOT
from tscm_migrate.cli import completion
from tscm_migrate.tasks.tree import namespace

if TYPE_CHECKING:
    from pathlib import Path


INVENTORY = (
    '[hosts.tscm-old]\naddress = "10.1.1.43"\n[hosts.tscm-new]\naddress = "10.1.1.50"\n[groups]\nall = ["tscm-old"]\n'
)
RUN = "20240501-030000-1a2b"
ARCHIVE = "threatstop_backup_2024-05-01_03_00_00.tsbak.gpg"
posix = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


def completions(*words: str) -> set[str]:
    return {line.partition("\t")[0] for line in completion.candidates(list(words), namespace())}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with an inventory, a run, a remembered archive, and the tool as it is installed."""
    (tmp_path / "hosts.toml").write_text(INVENTORY, encoding="utf-8")
    (tmp_path / "state" / "runs" / RUN).mkdir(parents=True)
    tool = tmp_path / "bin" / "tscm-migrate"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tscm_migrate "$@"\n', encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("TSCM_INVENTORY", str(tmp_path / "hosts.toml"))
    monkeypatch.setenv("TSCM_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    completion.remember("tscm-old", [ARCHIVE, "$(reboot).tsbak", "two words.tsbak"])
    return tmp_path


def test_commands_options_hosts_runs_and_archives_are_completed(site: Path) -> None:
    assert {"migrate", "host", "doctor", "help", "--inventory"} <= completions()
    assert not completions() & {"runs", "forget", "pull"}, "old names are not completed"
    assert completions("host") == {"list", "show", "pin", "adopt"}
    assert {"tscm-old", "tscm-new", "--fingerprint"} <= completions("host", "pin")
    assert "tscm-old" not in completions("host", "pin", "tscm-new")
    assert {"tscm-old", "tscm-new"} == completions("migrate", "--from")
    assert {"--no-encrypt", "--to", "--allow"} <= completions("migrate", "--from", "tscm-old", "--allow", "os-differs")
    assert "--from" not in completions("migrate", "--from", "tscm-old")
    assert completions("migrate", "--method") == {"auto", "rsync", "tar", "sftp"}
    assert "os-differs" in completions("migrate", "--allow")
    assert RUN in completions("resume")
    assert RUN in completions("run", "show")
    assert completions("archive", "pull", "tscm-old", "--archive") == {"latest", "all", ARCHIVE}
    assert completions("archive", "pull", "tscm-new", "--archive") == {"latest", "all"}
    assert completions("offsite", "list", "--group") == {"all"}
    assert completions("-i") == completions("archive", "push", "tscm-new") - {
        "--sftp",
        "--limit",
        "--json",
        "--inventory",
        "--help",
    }
    assert completion.FILES in completions("migrate", "--passphrase-file")
    assert {"zsh", "fish"} <= completions("help", "completion")
    other = site / "other.toml"
    other.write_text('[hosts.third]\naddress = "10.1.1.9"\n', encoding="utf-8")
    assert "third" in completions("-i", str(other), "archive", "list")
    (site / "hosts.toml").write_text("broken [", encoding="utf-8")
    assert "--fingerprint" in completions("host", "pin")


@pytest.mark.parametrize("name", sorted(namespace().task_names))
def test_command_and_its_options_are_completed(name: str) -> None:
    words = name.split(".")
    assert words[-1] in completions(*words[:-1])
    task = namespace()[name]
    for one in task.get_arguments():
        if not one.positional and one.names[0] != task.trailing:  # an argument is given without its option
            assert completions(*words) & {f"--{one.names[0]}", f"--no-{one.names[0]}"}, one.names


def completion_script(shell: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "tscm_migrate", "completion", shell],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_shell_has_a_completion_script(shell: str) -> None:
    assert "__complete" in completion_script(shell)


@pytest.mark.slow
@posix
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_words(site: Path) -> None:
    ask = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tscm_migrate; printf "%s\\n" "${COMPREPLY[@]}"'
    for words, expected in (
        (("mig",), {"migrate"}),
        (("host", "pin", "tscm-o"), {"tscm-old"}),
        (("resume", ""), {RUN, *completions("resume")}),
        (("migrate", "--method", "=", "rs"), {"rsync"}),
    ):
        command = ["bash", "-c", f"{completion_script('bash')}\n{ask}", "bash", "tscm-migrate", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=site)
        assert set(done.stdout.split()) == expected


@posix
@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "expected"), [("tscm-migrate mig", {"migrate"}), ("tscm-migrate host pin tscm-", {"tscm-old", "tscm-new"})]
)
def test_fish_completes_words(line: str, expected: set[str], site: Path) -> None:
    (site / "script").write_text(completion_script("fish"), encoding="utf-8")
    done = subprocess.run(
        ["fish", "-c", f"source {site}/script; complete -C '{line}'"],
        capture_output=True, text=True, timeout=60, check=True, cwd=site, env={**os.environ, "HOME": str(site)},
    )  # fmt: skip
    assert {one.partition("\t")[0] for one in done.stdout.splitlines()} == expected


@posix
@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize("sourced", [False, True])
def test_zsh_completes_words_from_the_first_tab(site: Path, *, sourced: bool) -> None:
    from tests.support.terminal import Terminal

    file = site / ".zfunc" / "_tscm-migrate"
    file.parent.mkdir()
    file.write_text(completion_script("zsh"), encoding="utf-8")
    more = f"source {file}" if sourced else ""
    path = "" if sourced else "fpath=(~/.zfunc $fpath)"
    rc = f"{path}\nautoload -Uz compinit && compinit -u\n{more}\nPS1='ready '\n"
    (site / ".zshrc").write_text(rc, encoding="utf-8")
    env = {**os.environ, "HOME": str(site), "TERM": "xterm", "ZDOTDIR": str(site)}
    zsh = Terminal(["zsh", "-d", "-i"], env)
    try:
        zsh.wait_for("ready")
        for typed, completed in (
            (b"tscm-migrate mig\t", "rate "),
            (b"\x15tscm-migrate host pin --fin\t", "gerprint "),
            (b"\x15tscm-migrate host pin tscm-o\t", "ld "),
        ):
            os.write(zsh.master, typed)
            zsh.wait_for(completed)
    finally:
        zsh.close()


def test_unknown_shell_is_refused_with_a_suggestion() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tscm_migrate", "completion", "bsh"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "did you mean 'bash'" in done.stderr


def manual() -> str:
    command = [sys.executable, "-m", "tscm_migrate", "man"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_manual_page_explains_every_task_and_option() -> None:
    page = manual()
    assert page.isascii()  # other characters are written as escapes, so that every man shows them
    for name in namespace().task_names:
        assert ".SS " + name.replace(".", " ").replace("-", r"\-") in page
    assert "\nPrint JSON.\n" in page
    assert not re.search(r"^\.TP\n.*\n\.(TP|SS|SH)", page, re.MULTILINE)  # would be an option without an explanation


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_formats_the_manual_page_without_warning() -> None:
    done = subprocess.run(
        ["groff", "-man", "-Kutf8", "-Tutf8", "-ww"],
        input=manual(), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    assert "TSCM-MIGRATE(1)" in done.stdout
