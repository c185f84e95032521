"""Where secrets come from: file, environment, inventory, keyring, command, prompt; and that they are not shown."""

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
    """A backend of the keyring library that stores its entries in memory."""

    priority = 1.0  # type: ignore[assignment]

    def __init__(self) -> None:
        self.entries: dict[tuple[str, str], str] = {}
        self.blocked: threading.Event | None = None
        self.broken = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.blocked:
            self.blocked.wait(60)
        if self.broken:
            raise RuntimeError("org.freedesktop.secrets was not provided")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.blocked:
            self.blocked.wait(60)
        if self.broken:
            raise ModuleNotFoundError("No module named 'the_backend_of_long_ago'")
        self.entries[service, username] = password


@pytest.fixture
def vault() -> Iterator[Vault]:
    before, vault = keyring.get_keyring(), Vault()
    keyring.set_keyring(vault)
    yield vault
    keyring.set_keyring(before)


def host(**fields: str) -> Host:
    return Host(name="old", address="10.1.1.43", **fields)  # type: ignore[arg-type]


def fail_if_asked(_prompt: str) -> str:
    raise AssertionError("the user was asked")


def test_sources_are_used_in_file_environment_inventory_keyring_prompt_order(vault: Vault, tmp_path: Path) -> None:
    file = tmp_path / "pass"
    file.write_text("from file\n")
    file.chmod(0o600)
    env = {"TSCM_PASSPHRASE": "from env", "MINE": "from named env"}
    vault.entries["tscm-migrate", "passphrase:old"] = "from keyring"
    named = host(passphrase_source="env:MINE")

    def first(at: Host, **options: object) -> tuple[str, str]:
        secret = Secrets(interactive=True, ask=lambda _p: "from prompt", **options).passphrase(at)  # type: ignore[arg-type]
        assert secret is not None
        return secret.reveal(), secret.source

    assert first(named, environ=env, passphrase_file=file) == ("from file", f"file:{file}")
    assert first(named, environ=env) == ("from env", "TSCM_PASSPHRASE")
    assert first(named, environ={"MINE": "from named env"}) == ("from named env", "env:MINE")
    assert first(host(), environ={}) == ("from keyring", "keyring")
    assert first(host(passphrase_source="prompt"), environ={}) == ("from prompt", "prompt")
    vault.entries.clear()
    assert first(host(), environ={}) == ("from prompt", "prompt")


def test_origin_names_the_source_without_reading_the_secret(vault: Vault) -> None:
    secrets = Secrets(interactive=False, environ={"MINE": "x"}, ask=fail_if_asked)
    assert secrets.origin("passphrase", "tscm-old", "") == "prompt"
    vault.set_password("tscm-migrate", "passphrase:tscm-old", "kept")
    assert secrets.origin("passphrase", "tscm-old", "") == "keyring"
    assert secrets.origin("passphrase", "tscm-old", "prompt") == "prompt"
    assert secrets.origin("passphrase", "tscm-old", "none").startswith("not used")
    assert secrets.origin("passphrase", "tscm-old", "env:MINE") == "environment variable MINE"
    assert secrets.origin("passphrase", "tscm-old", "env:OTHER") == "environment variable OTHER (not set)"
    assert secrets.origin("passphrase", "tscm-old", "command:pass show x") == "command in the inventory"
    given = Secrets(interactive=False, environ={"TSCM_PASSPHRASE": "x"}, ask=fail_if_asked)
    assert given.origin("passphrase", "tscm-old", "env:MINE") == "environment variable TSCM_PASSPHRASE"
    assert given.origin("sudo", "tscm-old", "") == "prompt"
    assert given.origin("key", "id", "") == "prompt"


def test_source_none_gives_no_secret_and_no_terminal_means_no_prompt(vault: Vault) -> None:
    vault.entries["tscm-migrate", "sudo:old"] = "x"
    assert (
        Secrets(interactive=True, ask=fail_if_asked, environ={}).sudo_password(host(sudo_password_source="none"))
        is None
    )
    vault.entries.clear()
    assert Secrets(interactive=False, ask=fail_if_asked, environ={}).sudo_password(host()) is None


def test_secret_is_asked_for_once_until_it_is_forgotten(vault: Vault) -> None:
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


def test_keyring_that_fails_or_hangs_is_ignored(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.broken = True
    assert Secrets(interactive=False, environ={}).passphrase(host()) is None
    vault.broken = False
    vault.blocked = threading.Event()
    monkeypatch.setattr(module, "_KEYRING_SECONDS", 0.05)
    try:
        assert Secrets(interactive=False, environ={}).passphrase(host()) is None
    finally:
        vault.blocked.set()


def test_unexpected_keyring_error_names_another_source(vault: Vault) -> None:
    vault.broken = True
    with pytest.raises(UsageError, match="no keyring that can be used") as caught:
        module.to_keyring("passphrase:old", "s3cret")
    assert "command:" in caught.value.remedy()
    assert "s3cret" not in str(caught.value)


def test_keyring_that_does_not_answer_is_a_timeout(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    vault.blocked = threading.Event()
    monkeypatch.setattr(module, "_COMMAND_SECONDS", 0.05)
    try:
        with pytest.raises(UsageError, match="does not answer") as caught:
            module.to_keyring("passphrase:old", "s3cret")
    finally:
        vault.blocked.set()
    assert "unlock it" in caught.value.remedy()


def test_secret_is_the_first_line_of_a_command(tmp_path: Path) -> None:
    script = tmp_path / "manager.py"
    script.write_text("print('s3cret')\nprint('login: me')")
    at = host(passphrase_source=f"command:{sys.executable} {script}")
    secret = Secrets(interactive=False, environ={}).passphrase(at)
    assert secret is not None
    assert secret.reveal() == "s3cret"
    assert secret.source == f"command:{sys.executable}"


@pytest.mark.parametrize("body", ["raise SystemExit(1)", "print('s3cret'); raise SystemExit(3)", "print()"])
def test_failing_command_is_an_error_without_its_output(tmp_path: Path, body: str) -> None:
    script = tmp_path / "manager.py"
    script.write_text(body)
    with pytest.raises(UsageError) as caught:
        Secrets(environ={}).passphrase(host(passphrase_source=f"command:{sys.executable} {script}"))
    assert "s3cret" not in str(caught.value) + caught.value.remedy()


def test_command_may_contain_quotes_and_spaces(tmp_path: Path) -> None:
    script = tmp_path / "my manager.py"
    script.write_text("import sys; print(sys.argv[1])")
    at = host(passphrase_source=f'command:"{sys.executable}" "{script}" "a b"')
    secret = Secrets(environ={}, redactor=Redactor()).passphrase(at)
    assert secret is not None
    assert secret.reveal() == "a b"
    assert secret.source == f"command:{sys.executable}"


def test_command_without_closing_quote_is_an_error() -> None:
    with pytest.raises(UsageError, match="not a valid command line"):
        Secrets(environ={}).passphrase(host(passphrase_source="command:pass show 'tscm"))


@pytest.mark.parametrize("line", [b"\xff\xfe", b"a\0b"])
def test_secret_that_is_not_valid_text_is_refused(tmp_path: Path, line: bytes) -> None:
    script = tmp_path / "manager.py"
    script.write_text(f"import sys; sys.stdout.buffer.write({line!r})")
    with pytest.raises(UsageError):
        Secrets(environ={}).passphrase(host(passphrase_source=f'command:"{sys.executable}" "{script}"'))
    odd = line.decode("utf-8", "surrogateescape")  # as Python decodes it in an environment variable
    with pytest.raises(UsageError):
        Secrets(environ={"TSCM_PASSPHRASE": odd}).passphrase(host())
    with pytest.raises(UsageError):
        Secrets(interactive=True, environ={}, ask=lambda _: odd).sudo_password(host(sudo_password_source="prompt"))


@pytest.mark.skipif(os.name == "nt", reason="environment variables are text on Windows")
def test_environment_variable_is_utf_8_in_every_locale() -> None:
    """In the C locale without UTF-8 mode (as under cron), Python decodes non-ASCII bytes as surrogates."""
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
def test_first_line_ends_only_at_a_newline(tmp_path: Path, value: str) -> None:
    script = tmp_path / "manager.py"
    script.write_text(f"import sys; sys.stdout.buffer.write({(value + chr(10) + 'login: me').encode()!r})")
    at = host(passphrase_source=f'command:"{sys.executable}" "{script}"')
    secret = Secrets(environ={}, redactor=Redactor()).passphrase(at)
    assert secret is not None
    assert secret.reveal() == value


def test_missing_command_or_variable_is_an_error() -> None:
    with pytest.raises(UsageError, match="cannot run"):
        Secrets(environ={}).passphrase(host(passphrase_source="command:no-such-manager x"))
    with pytest.raises(UsageError, match="env:GONE, which is not set"):
        Secrets(environ={}).passphrase(host(passphrase_source="env:GONE"))


@pytest.mark.parametrize(("text", "value"), [("x y \n", "x y "), ("x\r\n", "x"), ("ümlaut", "ümlaut")])
def test_only_one_line_end_is_removed_from_a_file(tmp_path: Path, text: str, value: str) -> None:
    file = tmp_path / "pass"
    file.write_bytes(text.encode())
    secret = Secrets(passphrase_file=file).passphrase(host())
    assert secret is not None
    assert secret.reveal() == value


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb\n", b"\xff\xfe"])
def test_file_without_exactly_one_line_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "pass"
    file.write_bytes(content)
    with pytest.raises(UsageError):
        Secrets(passphrase_file=file).passphrase(host())
    with pytest.raises(UsageError, match="cannot be read"):
        Secrets(passphrase_file=tmp_path / "gone").passphrase(host())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file modes")
def test_file_readable_by_others_is_a_warning(tmp_path: Path) -> None:
    file, emitted = tmp_path / "pass", list[Event]()
    file.write_text("x")
    for mode, warnings in ((0o600, 0), (0o644, 1)):
        file.chmod(mode)
        emitted.clear()
        Secrets(passphrase_file=file, emit=emitted.append).passphrase(host())
        assert len(emitted) == warnings


def test_resolved_secret_is_redacted_in_every_escaping() -> None:
    redactor, value = Redactor(), "p'ä\"s & <w>/%\\"
    secrets = Secrets(environ={"TSCM_SUDO_PASSWORD": value}, redactor=redactor)
    secret = secrets.sudo_password(host())
    assert value not in f"{secret!r} {secret}"
    import html
    import shlex
    import urllib.parse

    for form in (value, json.dumps(value), html.escape(value), shlex.quote(value), urllib.parse.quote(value)):
        assert "•••" in redactor(f"before {form} after")
        assert "s & <w>" not in redactor(form)


def test_short_secret_is_redacted_in_ordinary_text_only() -> None:
    redactor = Redactor()
    redactor.add("ab")
    assert redactor("cabin says ab, or 'ab'") == "cabin says ab, or 'ab'", "our own texts stay readable"
    assert redactor.ordinary("cabin says ab, or 'ab'") == "cabin says •••, or '•••'"


def test_printable_removes_control_sequences() -> None:
    assert printable("a\x1b[31mred\x1b[0m\x1b]0;title\x07b\x00\r\nc\td\u202ee") == "aredb\nc\tde"


def test_secret_cannot_be_pickled_and_a_job_contains_only_its_source(tmp_path: Path) -> None:
    from tscm_migrate.offsite.context import PullJob
    from tscm_migrate.offsite.pull import PullOptions

    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Secret("hunter2"))
    host = Host("tscm-a", "10.1.1.43", login_password_source="env:TSCM_LOGIN")
    sent = pickle.dumps(PullJob(host, "s3://bucket/x", PullOptions(), tmp_path))
    assert b"env:TSCM_LOGIN" in sent, "the source is sent; the worker resolves it"


def test_only_a_new_passphrase_is_asked_for_twice() -> None:
    asked: list[str] = []

    def secrets_with_answers(*answers: str) -> Secrets:
        left = list(answers)
        asked.clear()
        return Secrets(
            interactive=True, environ={}, ask=lambda q: (asked.append(q), left.pop(0))[1], redactor=Redactor()
        )

    prompted = host(passphrase_source="prompt")
    secret = secrets_with_answers("a long one", "a long one").passphrase(prompted, new=True)
    assert secret is not None
    assert len(asked) == 2
    with pytest.raises(UsageError, match="differ"):
        secrets_with_answers("a long one", "a lonh one").passphrase(prompted, new=True)
    assert secrets_with_answers("a long one").passphrase(prompted) is not None
    assert secrets_with_answers("").passphrase(prompted, new=True) is None
    named = Secrets(interactive=True, environ={"TSCM_PASSPHRASE": "x y"}, ask=fail_if_asked, redactor=Redactor())
    assert named.passphrase(host(), new=True) is not None
