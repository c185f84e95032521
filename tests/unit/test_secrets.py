from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import keyring
import pytest
from keyring.backend import KeyringBackend

from tscm_migrate import secrets as module
from tscm_migrate.errors import UsageError
from tscm_migrate.events import Event
from tscm_migrate.model import Host, Secret
from tscm_migrate.secrets import Secrets
from tscm_migrate.util.redact import Redactor, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Vault(KeyringBackend):
    """A real backend of the keyring library, in memory."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], str] = {}
        self.blocked: threading.Event | None = None
        self.broken = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.blocked:
            self.blocked.wait(60)
        if self.broken:
            raise RuntimeError("org.freedesktop.secrets was not provided")
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.blocked:
            self.blocked.wait(60)
        if self.broken:
            raise ModuleNotFoundError("No module named 'the_backend_of_long_ago'")
        self.held[service, username] = password


@pytest.fixture
def vault() -> Iterator[Vault]:
    before, vault = keyring.get_keyring(), Vault()
    keyring.set_keyring(vault)
    yield vault
    keyring.set_keyring(before)


def host(**fields: str) -> Host:
    return Host(name="old", address="10.1.1.43", **fields)  # type: ignore[arg-type]


def never(_prompt: str) -> str:
    raise AssertionError("nothing may be asked")


def test_the_order_is_file_environment_inventory_keyring_prompt(vault: Vault, tmp_path: Path) -> None:
    file = tmp_path / "pass"
    file.write_text("from file\n")
    file.chmod(0o600)
    env = {"TSCM_PASSPHRASE": "from env", "MINE": "from named env"}
    vault.held["tscm-migrate", "passphrase:old"] = "from keyring"
    named = host(passphrase_source="env:MINE")

    def first(at: Host, **options: object) -> tuple[str, str]:
        found = Secrets(interactive=True, ask=lambda _p: "from prompt", **options).passphrase(at)  # type: ignore[arg-type]
        assert found is not None
        return found.reveal(), found.source

    assert first(named, environ=env, passphrase_file=file) == ("from file", f"file:{file}")
    assert first(named, environ=env) == ("from env", "TSCM_PASSPHRASE")
    assert first(named, environ={"MINE": "from named env"}) == ("from named env", "env:MINE")
    assert first(host(), environ={}) == ("from keyring", "keyring")
    assert first(host(passphrase_source="prompt"), environ={}) == ("from prompt", "prompt")
    vault.held.clear()
    assert first(host(), environ={}) == ("from prompt", "prompt")


def test_where_a_secret_would_come_from_is_known_in_the_same_order_without_its_value(vault: Vault) -> None:
    secrets = Secrets(interactive=False, environ={"MINE": "x"}, ask=never)
    assert secrets.origin("passphrase", "tscm-old", "") == "prompt"
    vault.set_password("tscm-migrate", "passphrase:tscm-old", "kept")
    assert secrets.origin("passphrase", "tscm-old", "") == "keyring"
    assert secrets.origin("passphrase", "tscm-old", "prompt") == "prompt"
    assert secrets.origin("passphrase", "tscm-old", "none").startswith("not used")
    assert secrets.origin("passphrase", "tscm-old", "env:MINE") == "environment variable MINE"
    assert secrets.origin("passphrase", "tscm-old", "env:OTHER") == "environment variable OTHER (not set)"
    assert secrets.origin("passphrase", "tscm-old", "command:pass show x") == "command in the inventory"
    given = Secrets(interactive=False, environ={"TSCM_PASSPHRASE": "x"}, ask=never)
    assert given.origin("passphrase", "tscm-old", "env:MINE") == "environment variable TSCM_PASSPHRASE"
    assert given.origin("sudo", "tscm-old", "") == "prompt"
    assert given.origin("key", "id", "") == "prompt"


def test_none_means_none_and_without_a_terminal_nothing_is_asked(vault: Vault) -> None:
    vault.held["tscm-migrate", "sudo:old"] = "x"
    assert Secrets(interactive=True, ask=never, environ={}).sudo_password(host(sudo_password_source="none")) is None
    vault.held.clear()
    assert Secrets(interactive=False, ask=never, environ={}).sudo_password(host()) is None


def test_an_answer_is_asked_for_once_until_it_is_forgotten(vault: Vault) -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return f"answer {len(asked)}"

    secrets = Secrets(interactive=True, ask=ask, environ={})
    assert [secrets.sudo_password(host()) for _ in range(2)][1].reveal() == "answer 1"  # type: ignore[union-attr]
    assert asked == ["sudo password of threatstop on old: "]
    secrets.forget("sudo", "old")
    assert secrets.sudo_password(host()).reveal() == "answer 2"  # type: ignore[union-attr]
    assert secrets.sources() == {"sudo:old": "prompt"}


def test_a_keyring_that_fails_or_hangs_counts_as_absent(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.broken = True
    assert Secrets(interactive=False, environ={}).passphrase(host()) is None
    vault.broken = False
    vault.blocked = threading.Event()
    monkeypatch.setattr(module, "_KEYRING_SECONDS", 0.05)
    try:
        assert Secrets(interactive=False, environ={}).passphrase(host()) is None
    finally:
        vault.blocked.set()


def test_a_keyring_that_fails_in_a_way_of_its_own_is_told_with_another_source(vault: Vault) -> None:
    vault.broken = True
    with pytest.raises(UsageError, match="no keyring that can be used") as caught:
        module.to_keyring("passphrase:old", "s3cret")
    assert "command:" in caught.value.remedy()
    assert "s3cret" not in str(caught.value)


def test_a_keyring_that_waits_for_somebody_is_not_waited_for_for_ever(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.blocked = threading.Event()
    monkeypatch.setattr(module, "_COMMAND_SECONDS", 0.05)
    try:
        with pytest.raises(UsageError, match="does not answer") as caught:
            module.to_keyring("passphrase:old", "s3cret")
    finally:
        vault.blocked.set()
    assert "unlock it" in caught.value.remedy()


def test_a_command_gives_its_first_line(tmp_path: Path) -> None:
    script = tmp_path / "manager.py"
    script.write_text("print('s3cret')\nprint('login: me')")
    at = host(passphrase_source=f"command:{sys.executable} {script}")
    found = Secrets(interactive=False, environ={}).passphrase(at)
    assert found is not None
    assert found.reveal() == "s3cret"
    assert found.source == f"command:{sys.executable}"


@pytest.mark.parametrize("body", ["raise SystemExit(1)", "print('s3cret'); raise SystemExit(3)", "print()"])
def test_a_failing_command_is_an_error_that_does_not_show_its_output(tmp_path: Path, body: str) -> None:
    script = tmp_path / "manager.py"
    script.write_text(body)
    with pytest.raises(UsageError) as caught:
        Secrets(environ={}).passphrase(host(passphrase_source=f"command:{sys.executable} {script}"))
    assert "s3cret" not in str(caught.value) + caught.value.remedy()


def test_a_command_may_have_quotes_and_blanks_in_it(tmp_path: Path) -> None:
    script = tmp_path / "my manager.py"
    script.write_text("import sys; print(sys.argv[1])")
    at = host(passphrase_source=f'command:"{sys.executable}" "{script}" "a b"')
    found = Secrets(environ={}, redactor=Redactor()).passphrase(at)
    assert found is not None
    assert found.reveal() == "a b"
    assert found.source == f"command:{sys.executable}"


def test_a_command_without_its_closing_quote_is_an_error() -> None:
    with pytest.raises(UsageError, match="not a valid command line"):
        Secrets(environ={}).passphrase(host(passphrase_source="command:pass show 'tscm"))


@pytest.mark.parametrize("line", [b"\xff\xfe", b"a\0b"])
def test_what_is_no_text_is_no_secret(tmp_path: Path, line: bytes) -> None:
    script = tmp_path / "manager.py"
    script.write_text(f"import sys; sys.stdout.buffer.write({line!r})")
    with pytest.raises(UsageError):
        Secrets(environ={}).passphrase(host(passphrase_source=f'command:"{sys.executable}" "{script}"'))
    odd = line.decode("utf-8", "surrogateescape")  # as a variable of the environment has it
    with pytest.raises(UsageError):
        Secrets(environ={"TSCM_PASSPHRASE": odd}).passphrase(host())
    with pytest.raises(UsageError):
        Secrets(interactive=True, environ={}, ask=lambda _: odd).sudo_password(host(sudo_password_source="prompt"))


@pytest.mark.skipif(os.name == "nt", reason="its environment is text")
def test_a_variable_is_utf_8_whatever_the_locale_is() -> None:
    """In the locale C without UTF-8 mode, as cron may have it, Python reads its bytes as it can."""
    code = (
        "from tscm_migrate.secrets import Secrets; from tscm_migrate.model import Host\n"
        "print(ascii(Secrets().passphrase(Host('a', '10.0.0.1', passphrase_source='env:MINE')).reveal()))\n"
    )
    for name in ("TSCM_PASSPHRASE", "MINE"):
        env = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", name: "Grüße"}
        env |= {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PATH": os.environ["PATH"]}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        assert done.stdout.strip() == ascii("Grüße"), done.stderr


@pytest.mark.parametrize("value", ["a\u2028b", "a\x0bb", "a\x85b"])
def test_only_a_line_end_ends_the_first_line(tmp_path: Path, value: str) -> None:
    script = tmp_path / "manager.py"
    script.write_text(f"import sys; sys.stdout.buffer.write({(value + chr(10) + 'login: me').encode()!r})")
    at = host(passphrase_source=f'command:"{sys.executable}" "{script}"')
    found = Secrets(environ={}, redactor=Redactor()).passphrase(at)
    assert found is not None
    assert found.reveal() == value


def test_a_command_or_a_variable_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UsageError, match="cannot run"):
        Secrets(environ={}).passphrase(host(passphrase_source="command:no-such-manager x"))
    with pytest.raises(UsageError, match="env:GONE, which is not set"):
        Secrets(environ={}).passphrase(host(passphrase_source="env:GONE"))


@pytest.mark.parametrize(("text", "value"), [("x y \n", "x y "), ("x\r\n", "x"), ("ümlaut", "ümlaut")])
def test_one_line_end_is_stripped_from_the_file_and_nothing_else(tmp_path: Path, text: str, value: str) -> None:
    file = tmp_path / "pass"
    file.write_bytes(text.encode())
    found = Secrets(passphrase_file=file).passphrase(host())
    assert found is not None
    assert found.reveal() == value


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"\xff\xfe"])
def test_a_file_that_holds_no_one_line_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "pass"
    file.write_bytes(content)
    with pytest.raises(UsageError):
        Secrets(passphrase_file=file).passphrase(host())
    with pytest.raises(UsageError, match="cannot be read"):
        Secrets(passphrase_file=tmp_path / "gone").passphrase(host())


@pytest.mark.skipif(os.name == "nt", reason="modes mean nothing there")
def test_a_file_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    file, said = tmp_path / "pass", list[Event]()
    file.write_text("x")
    for mode, warnings in ((0o600, 0), (0o644, 1)):
        file.chmod(mode)
        said.clear()
        Secrets(passphrase_file=file, emit=said.append).passphrase(host())
        assert len(said) == warnings


def test_a_resolved_secret_is_blanked_in_every_escaping_and_never_shown() -> None:
    redactor, value = Redactor(), "p'ä\"s & <w>/%\\"
    secrets = Secrets(environ={"TSCM_SUDO_PASSWORD": value}, redactor=redactor)
    found = secrets.sudo_password(host())
    assert value not in f"{found!r} {found}"
    import html
    import shlex
    import urllib.parse

    for form in (value, json.dumps(value), html.escape(value), shlex.quote(value), urllib.parse.quote(value)):
        assert "•••" in redactor(f"before {form} after")
        assert "s & <w>" not in redactor(form)


def test_a_short_secret_does_not_make_other_words_unreadable() -> None:
    redactor = Redactor()
    redactor.add("ab")
    assert redactor("cabin says ab, or 'ab'") == "cabin says ab, or 'ab'", "our own words stay"
    assert redactor.ordinary("cabin says ab, or 'ab'") == "cabin says •••, or '•••'"


def test_printable_drops_what_could_steer_a_terminal() -> None:
    assert printable("a\x1b[31mred\x1b[0m\x1b]0;title\x07b\x00\r\nc\td\u202ee") == "aredb\nc\tde"


def test_a_secret_is_never_sent_to_another_process_and_a_job_has_none(tmp_path: Path) -> None:
    from tscm_migrate.offsite.jobs import PullJob
    from tscm_migrate.offsite.pull import PullOptions

    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Secret("hunter2"))
    host = Host("tscm-a", "10.1.1.43", login_password_source="env:TSCM_LOGIN")
    sent = pickle.dumps(PullJob(host, "s3://bucket/x", PullOptions(), tmp_path))
    assert b"env:TSCM_LOGIN" in sent, "where it comes from is sent, and resolved where the work is done"


def test_a_new_passphrase_that_is_typed_is_asked_for_twice_and_any_other_once() -> None:
    asked: list[str] = []

    def typing(*answers: str) -> Secrets:
        left = list(answers)
        asked.clear()
        return Secrets(
            interactive=True, environ={}, ask=lambda q: (asked.append(q), left.pop(0))[1], redactor=Redactor()
        )

    where = host(passphrase_source="prompt")
    found = typing("a long one", "a long one").passphrase(where, new=True)
    assert found is not None
    assert len(asked) == 2
    with pytest.raises(UsageError, match="differ"):
        typing("a long one", "a lonh one").passphrase(where, new=True)
    assert typing("a long one").passphrase(where) is not None
    assert typing("").passphrase(where, new=True) is None
    named = Secrets(interactive=True, environ={"TSCM_PASSPHRASE": "x y"}, ask=never, redactor=Redactor())
    assert named.passphrase(host(), new=True) is not None
