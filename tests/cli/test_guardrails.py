"""Checks before any question, complete commands in remedies, and the output of several threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tscm_migrate.cli import failures
from tscm_migrate.cli.hosts import source
from tscm_migrate.cli.program import program
from tscm_migrate.errors import Cancelled
from tscm_migrate.inventory.read import load
from tscm_migrate.util.operator_command import READ_INVENTORY, completed, use_inventory

TWO = '[hosts.tscm-old]\naddress = "127.0.0.1"\n[hosts.tscm-new]\naddress = "127.0.0.2"\n'
PAIR = ("--from", "tscm-old", "--to", "tscm-new")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a site" / "hosts.toml"
    path.parent.mkdir(mode=0o700)
    path.write_text(TWO, encoding="utf-8")
    path.chmod(0o600)
    return path


def tool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the tool without a terminal."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("TSCM_")}
    env |= {"TSCM_STATE": str(folder / "state"), "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    return subprocess.run(
        [sys.executable, "-m", "tscm_migrate", *words], env=env, cwd=Path(__file__).parents[2], text=True, timeout=60,
        stdin=subprocess.DEVNULL, capture_output=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("migrate", "--from", "tscm-old", "--to", "127.0.0.1"), "are the same host"),
        (("plan", "--from", "tscm-old", "--to", "tscm-old"), "are the same host"),
        (("migrate", "--from", "tscm-odl", "--to", "tscm-new"), "did you mean 'tscm-old'?"),
        (("prompts", "learn", "tscm-nwe", "--from", "tscm-old"), "did you mean 'tscm-new'?"),
        (("schedule", "tscm-odl"), "did you mean 'tscm-old'?"),
        (("resume",), "there is no unfinished run to resume"),
        (("run", "discard", "20240501-030000-1a2b"), "there is no run"),
        (("migrate", *PAIR), "not running in a terminal"),
    ],
)
def test_arguments_are_checked_before_a_terminal_is_needed(
    words: tuple[str, ...], message: str, file: Path, tmp_path: Path
) -> None:
    done = tool(tmp_path, *words, "--inventory", str(file))
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())


def test_remedy_contains_the_inventory_option_of_the_command(file: Path, tmp_path: Path) -> None:
    done = tool(tmp_path, "migrate", "--from", "tscm-old", "--to", "tscm-old", "-i", str(file), "--json")
    remedy = json.loads(done.stdout)["remedy"]
    assert f"tscm-migrate --inventory '{file}' host list" in remedy or f'tscm-migrate --inventory "{file}"' in remedy
    assert " ".join(remedy.split()) in " ".join(done.stderr.split())


@pytest.fixture
def site_file() -> Path:
    return Path("site.toml").absolute()


@pytest.mark.parametrize(
    ("text", "unchanged"),
    [
        ("then: tscm-migrate host pin X", False),
        ("tscm-migrate archive list X; or leave --archive out", False),
        ("tscm-migrate host pin X --inventory other.toml", True),
        ("tscm-migrate resume R; or: tscm-migrate run show R", True),
        ("upgrade tscm-migrate, plan again", True),
    ],
)
def test_inventory_option_is_added_only_to_commands_that_read_it(
    text: str, site_file: Path, *, unchanged: bool
) -> None:
    use_inventory("site.toml")
    try:
        assert (completed(text) == text) is unchanged
        assert completed(text) == text or f"tscm-migrate --inventory {site_file} " in completed(text)
    finally:
        use_inventory(None)
    assert completed(text) == text


def test_list_of_commands_that_read_the_inventory_is_complete() -> None:
    root = program().namespace
    reading = {
        name.replace(".", " ")
        for name in root.task_names
        if any(a.name == "inventory" for a in root[name].get_arguments())
    }
    inventory_from_run = {"resume", "rollback", "run discard", "host adopt", "verify", "devices update", "init"}
    known = {name for name in reading if any(name == one or name.startswith(f"{one} ") for one in READ_INVENTORY)}
    assert reading - known == inventory_from_run
    assert all(any(name == one or name.startswith(f"{one} ") for name in reading) for one in READ_INVENTORY)


def test_json_lines_of_several_threads_do_not_mix() -> None:
    code = (
        "import threading\n"
        "from tscm_migrate.cli import failures\n"
        "from tscm_migrate.errors import UsageError\n"
        "from tscm_migrate.events import Message\n"
        "from tscm_migrate.ui.lines import json_lines\n"
        "def write(n):\n"
        "    for i in range(200):\n"
        "        json_lines(Message('x' * 3000))\n"
        "        failures.say(UsageError('y' * 900), as_json=True)\n"
        "threads = [threading.Thread(target=write, args=(n,)) for n in range(6)]\n"
        "for one in threads: one.start()\n"
        "for one in threads: one.join()\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(objects) == 6 * 200 * 2


def test_cancelled_command_exits_with_1_and_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        raise Cancelled

    assert failures.guarded(body) == 1
    assert capsys.readouterr().err == "Cancelled. Nothing was changed.\n"


def test_internal_error_names_the_option_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        raise ZeroDivisionError

    assert failures.guarded(body) == 1
    assert "--traceback" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        program().run(["tscm-migrate", "--traceback", "--version"])
    assert ended.value.code == 0


def test_host_show_names_the_source_of_each_value(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = file.parent / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    (home / ".ssh" / "config").write_text("Host 127.0.0.2\n  Port 2222\n", encoding="utf-8")
    (home / ".ssh" / "config").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USERPROFILE", str(home))
    file.write_text('known_hosts = "keys"\n[defaults]\nuser = "admin"\n' + TWO, encoding="utf-8")
    site = load(file)
    old, new, other = site.host("tscm-old"), site.host("tscm-new"), site.host("me@127.0.0.9")
    assert "defaults.user" in source(site, old, "user")
    assert source(site, new, "port") == "~/.ssh/config"
    assert (source(site, other, "user"), source(site, other, "address")) == ("command line", "command line")
    same = site.host("10.9.9.9:22")  # the port is the default, but it was given
    assert source(site, same, "port") == "command line"
    assert source(site, site.host("127.0.0.9"), "user") == "hosts.toml defaults.user"
    assert source(site, old, "known_hosts") == "hosts.toml known_hosts"
    assert source(site, old, "tags") == "built-in default"
