"""Encryption with the real gpg: data is unchanged, memory is limited, and a failed source is an error."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support import gpg as support
from tests.support.gpg import gpg, make_key
from tests.support.incoming import NOW, Given, plain
from tscm_migrate.archive import gpg as seal
from tscm_migrate.archive.openpgp import encryption_of
from tscm_migrate.errors import CopyDamaged, EncryptionFailed
from tscm_migrate.model import Secret
from tscm_migrate.offsite import catalog
from tscm_migrate.offsite.stores.local import LocalStore
from tscm_migrate.offsite.upload import CopyPolicy, make_copy, peek

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(not shutil.which("gpg"), reason="gpg is not installed")


@pytest.fixture(scope="module")
def keyring() -> Iterator[tuple[Path, str, str]]:
    """A keyring with two keys."""
    with support.keyring() as home:
        yield home, make_key(home, "ops@example.test"), make_key(home, "vault@example.test")


@pytest.fixture(scope="module")
def public_only(keyring: tuple[Path, str, str]) -> Iterator[Path]:
    home, one, two = keyring
    with support.keyring() as folder:
        gpg(folder, "--import", stdin=gpg(home, "--export", one, two))
        yield folder


@pytest.fixture(autouse=True)
def _keyring_of_the_operator(keyring: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNUPGHOME", str(keyring[0]))


def chunks(size: int, each: int = 1 << 18) -> Iterator[bytes]:
    noise = random.Random(3)
    for start in range(0, size, each):
        yield noise.randbytes(min(each, size - start))


@pytest.mark.parametrize("size", [0, 1, 70_000, 5_000_000])
def test_encryption_needs_public_keys_only_and_each_key_decrypts(
    keyring: tuple[Path, str, str], public_only: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    home, one, two = keyring
    monkeypatch.setenv("GNUPGHOME", str(public_only))
    encrypted_data = b"".join(seal.encrypted(chunks(size), seal.recipients([one, two.lower()])))
    looked = encryption_of(encrypted_data)
    assert looked.sealing == "public-key"
    assert len(looked.key_ids) == 2
    assert gpg(home, "--decrypt", stdin=encrypted_data) == b"".join(chunks(size))
    monkeypatch.setenv("GNUPGHOME", str(home))
    with seal.opened([encrypted_data]) as plain_chunks:
        assert b"".join(plain_chunks) == b"".join(chunks(size))


@pytest.mark.slow
def test_archive_encrypted_like_tsadmin_is_decrypted_with_a_passphrase(
    tmp_path: Path, keyring: tuple[Path, str, str]
) -> None:
    secret = tmp_path / "pass"
    secret.write_text("söme pass\n")
    body = b"".join(chunks(3_000_000))
    made = gpg(keyring[0], "--symmetric", "--passphrase-file", str(secret), stdin=body)
    assert encryption_of(made).sealing == "passphrase"
    with seal.opened(iter([made[:100], made[100:]]), Secret("söme pass")) as got:
        assert b"".join(got) == body
    with pytest.raises(EncryptionFailed), seal.opened([made], Secret("wrong")) as got:
        b"".join(got)
    with pytest.raises(EncryptionFailed), seal.opened([made[:-5]], Secret("söme pass")) as got:
        b"".join(got)
    changed = bytearray(made)
    changed[len(made) // 2] ^= 1
    with pytest.raises(EncryptionFailed), seal.opened([bytes(changed)], Secret("söme pass")) as got:
        b"".join(got)


def test_error_of_the_source_is_raised_unchanged(keyring: tuple[Path, str, str]) -> None:
    def dying() -> Iterator[bytes]:
        yield from chunks(2_000_000)
        raise ConnectionResetError("cut by the test")

    with pytest.raises(ConnectionResetError):
        b"".join(seal.encrypted(dying(), (keyring[1],)))


def test_stopped_consumer_leaves_no_gpg_process(keyring: tuple[Path, str, str]) -> None:
    stream = seal.encrypted(chunks(1 << 26), (keyring[1],))
    next(stream)
    stream.close()
    command = ["ps", "-o", "args=", "--ppid", str(os.getpid())]
    found = subprocess.run(command, capture_output=True, check=False, timeout=100)
    assert b"--encrypt" not in found.stdout


@pytest.mark.parametrize("bad", ["ops@example.test", "DEADBEEF", "0" * 40])
def test_recipients_must_be_full_fingerprints_of_known_keys(keyring: tuple[Path, str, str], bad: str) -> None:
    with pytest.raises(EncryptionFailed):
        seal.recipients([bad])


def test_expired_key_is_refused(keyring: tuple[Path, str, str]) -> None:
    home = keyring[0]
    then = ("--faked-system-time", "20200101T000000")
    gpg(home, *then, "--passphrase", "", "--quick-gen-key", "old@example.test", "future-default", "default", "1d")
    lines = gpg(home, "--list-keys", "--with-colons", "old@example.test").decode().splitlines()
    expired = next(line.split(":")[9] for line in lines if line.startswith("fpr"))
    with pytest.raises(EncryptionFailed, match=r"expired|not made for"):
        seal.recipients([expired])


def test_plain_archive_is_encrypted_during_the_upload(
    tmp_path: Path, keyring: tuple[Path, str, str], public_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, one, _ = keyring
    monkeypatch.setenv("GNUPGHOME", str(public_only))
    body = plain(2_000_000)
    policy = CopyPolicy(seal_to=(one,), require_encryption=True)
    (tmp_path / "store").mkdir()
    store = LocalStore(tmp_path / "store")
    done = make_copy(Given(body, archive="threatstop_backup_2026-02-28_04_00_00.tsbak"), store, policy, now=NOW)
    assert done.manifest.encrypted == "public-key"
    assert done.manifest.sealed_to == (one,)
    assert done.manifest.key_ids
    assert done.manifest.sha256 != done.manifest.source_sha256 == Given(body).sha256
    again = make_copy(Given(body, archive=done.manifest.archive), store, policy, now=NOW)
    assert again.outcome == "already", "the bytes of a second encryption differ, and it is the same copy"
    (copy,) = catalog.load(store).copies
    monkeypatch.setenv("GNUPGHOME", str(home))
    with seal.opened(store.read(copy.manifest.data)) as got:
        assert b"".join(got) == body


GPG_CONF = {
    "armor": "armor", "sign": "sign\nlocal-user {one}", "no-such-option": "no-such-option",
    "passphrase-fd": "passphrase-fd 0", "command-fd": "command-fd 0", "textmode": "textmode", "output": "output {out}",
    "others": "encrypt-to {two}\nhidden-encrypt-to {two}\ndefault-recipient {two}\nthrow-keyids",
    "group": "group {one}={two}", "keyring": "no-default-keyring\nkeyring elsewhere.kbx", "list-only": "list-only",
    "dry-run": "dry-run", "compress": "compress-algo bzip2\nbzip2-compress-level 9", "max-output": "max-output 10",
    "words": "charset iso-8859-1\ncomment x\nverbose\nlog-file {out}\nset-filename x", "rfc1991": "rfc4880\ndisable-mdc",
}  # fmt: skip
AGENT_CONF = {"pinentry": "pinentry-program /bin/false\nno-allow-loopback-pinentry", "unknown": "no-such-option"}


@pytest.mark.parametrize("name", GPG_CONF)
def test_options_in_gpg_conf_do_not_change_the_stored_data(
    tmp_path: Path, keyring: tuple[Path, str, str], name: str
) -> None:
    home, one, two = keyring
    (tmp_path / "store").mkdir()
    store, body = LocalStore(tmp_path / "store"), b"line\nline\r\n" * 20_000
    config = home / "gpg.conf"
    config.write_text(GPG_CONF[name].format(one=one, two=two, out=tmp_path / "out") + "\n")
    try:
        policy = CopyPolicy(seal_to=seal.recipients([one]))
        assert seal.can_open((one,))
        done = make_copy(Given(body), store, policy, now=NOW)
        with seal.opened(store.read(done.manifest.data)) as got:
            assert b"".join(got) == body
    finally:
        config.unlink()
    assert len(done.manifest.key_ids) == 1
    assert gpg(home, "--decrypt", stdin=b"".join(store.read(done.manifest.data))) == body
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for gpgconf is a sh script")
@pytest.mark.parametrize(
    ("text", "option"),
    [
        *((GPG_CONF[name], name) for name in ("sign", "passphrase-fd", "command-fd", "output", "group", "list-only", "dry-run")),
        ("recipient {two}", "recipient"), ("--hidden-recipient {two}", "hidden-recipient"), ("symmetric # all", "symmetric"),
        ("# sign\n\narmor\ncomment x\nkeyserver hkps://keys.example\ncipher-algo AES256\nno-greeting\nencrypt-to {two}", ""),
    ],
)  # fmt: skip
def test_system_option_that_may_change_stored_data_is_refused(
    tmp_path: Path, keyring: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch, text: str, option: str
) -> None:
    """gpg always reads that file, so the test uses a gpgconf that names another folder for it."""
    _, one, two = keyring
    real, stand_in = shutil.which("gpgconf"), tmp_path / "bin/gpgconf"
    stand_in.parent.mkdir()
    stand_in.write_text(
        f'#!/bin/sh\ncase "$*" in *sysconfdir) echo "{tmp_path}/my%20etc" ;; *) exec {real} "$@" ;; esac\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "my etc").mkdir()
    assert seal.recipients([one]) == (one,), "a system without such a file"
    (tmp_path / "my etc/gpg.conf").write_text(text.format(one=one, two=two, out="x") + "\n")
    if option:
        with pytest.raises(EncryptionFailed, match=f"'{option}'"):
            seal.recipients([one])
    else:
        assert seal.recipients([one]) == (one,)


@pytest.mark.parametrize("name", AGENT_CONF)
def test_settings_of_the_agent_do_not_stop_a_copy(tmp_path: Path, keyring: tuple[Path, str, str], name: str) -> None:
    home, one, _ = keyring
    (tmp_path / "store").mkdir()
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True, timeout=100)
    config = home / "gpg-agent.conf"
    config.write_text(AGENT_CONF[name] + "\n")
    try:
        policy = CopyPolicy(seal_to=seal.recipients([one]))
        done = make_copy(Given(b"x" * 50_000), LocalStore(tmp_path / "store"), policy, now=NOW)
        assert seal.can_open((one,))
        with seal.opened(LocalStore(tmp_path / "store").read(done.manifest.data)) as got:
            assert b"".join(got) == b"x" * 50_000
        with pytest.raises(EncryptionFailed) as caught, seal.opened([b"\x85\x01" * 300]) as got:
            b"".join(got)
        assert "GNUPG:" not in caught.value.message()
    finally:
        config.unlink()
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True, timeout=100)
    stored = b"".join(LocalStore(tmp_path / "store").read(done.manifest.data))
    assert gpg(home, "--decrypt", stdin=stored) == b"x" * 50_000


def test_stored_copy_is_decrypted_to_verify_it(
    tmp_path: Path, keyring: tuple[Path, str, str], public_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gpg that encrypts something else is found out by the secret key; without one its sizes do not show it."""
    _, one, _ = keyring
    (tmp_path / "store").mkdir()
    (tmp_path / "bin").mkdir()
    real = shutil.which("gpg")
    wrapper = tmp_path / "bin" / "gpg"
    wrapper.write_text(
        '#!/bin/sh\nfor word in "$@"; do [ "$word" != --encrypt ] || exec 9<&0; done\n'
        f'for word in "$@"; do [ "$word" != --encrypt ] || {{ tr a b <&9 | exec {real} "$@"; exit; }}; done\n'
        f'exec {real} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    store = LocalStore(tmp_path / "store")
    with pytest.raises(CopyDamaged, match="not the archive"):
        make_copy(Given(b"cba" * 50_000), store, CopyPolicy(seal_to=(one,)), now=NOW)
    assert list(store.entries()) == []
    monkeypatch.setenv("GNUPGHOME", str(public_only))
    assert not seal.can_open((one,))


def test_encrypted_archive_is_stored_unchanged(tmp_path: Path, keyring: tuple[Path, str, str]) -> None:
    home, one, _ = keyring
    (tmp_path / "store").mkdir()
    (tmp_path / "pass").write_text("secret\n")
    body = gpg(home, "--symmetric", "--passphrase-file", str(tmp_path / "pass"), stdin=b"x" * 100_000)
    done = make_copy(Given(body), LocalStore(tmp_path / "store"), CopyPolicy(seal_to=(one,)), now=NOW)
    assert done.manifest.encrypted == "passphrase"
    assert done.manifest.sha256 == done.manifest.source_sha256


def test_openpgp_packets_are_distinguished(keyring: tuple[Path, str, str]) -> None:
    home, one, _ = keyring
    assert encryption_of(gpg(home, "--store", stdin=b"hello")).sealing == "no"
    assert encryption_of(gpg(home, "--sign", "--local-user", one, stdin=b"hello")).sealing == "no"
    assert encryption_of(b"").sealing == "no"
    assert encryption_of(b"\x1f\x8b\x08").sealing == "no"
    assert encryption_of(b"\xff" * 40).sealing == "no"
    looked, all_of_it = peek(iter([b"\x8c", b"\x0d\x04", b"rest"]))
    assert looked.sealing == "passphrase"
    assert b"".join(all_of_it) == b"\x8c\x0d\x04rest"


@pytest.mark.slow
def test_encryption_uses_limited_memory(keyring: tuple[Path, str, str], public_only: Path) -> None:
    script = (
        "import sys; from tscm_migrate.archive import gpg as seal\n"
        "from tests.support.memory import peak_kib\n"
        "block = bytes(1 << 20)\n"
        "blocks = (block for _ in range(int(sys.argv[1])))\n"
        "size = sum(map(len, seal.encrypted(blocks, (sys.argv[2],))))\n"
        "print(peak_kib())\n"
    )

    def peak(mebibytes: int) -> int:
        argv = [sys.executable, "-c", script, str(mebibytes), keyring[1]]
        env = {**os.environ, "GNUPGHOME": str(public_only)}
        return int(subprocess.run(argv, capture_output=True, check=True, timeout=110, env=env).stdout)

    small, large = peak(8), peak(700)
    assert large < small + 20_000, f"{small} KiB for 8 MiB, {large} KiB for 700 MiB"
