"""Bundles: what a run's evidence proves, and that a bug report has no secret, name or address in it."""

from __future__ import annotations

import hashlib
import html
import io
import json
import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from tests.support.gpg import gpg, keyring, make_key
from tests.unit.test_redact import ENCODINGS
from tests.unit.ui.test_report import RUN, a_run
from tscm_migrate import __version__
from tscm_migrate.errors import BundleDamaged, UsageError
from tscm_migrate.events import CommandRun, Message, Prompted, RunFinished, RunStarted
from tscm_migrate.migration import bug_report, evidence, report
from tscm_migrate.migration.journal import Journal
from tscm_migrate.migration.recorder import Recorder
from tscm_migrate.ui import run_report
from tscm_migrate.util import private, redact, signatures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Files = dict[str, bytes]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    a_run(tmp_path)
    private.write(report.folder(RUN, tmp_path) / "commands.jsonl", '{"event": "command_run", "display": "true"}\n')
    path, why = evidence.pack(RUN, tmp_path, run_report.render, sign=False, root=tmp_path)
    assert why
    return path


def content(path: Path) -> Files:
    with tarfile.open(path) as tar:
        return {name.partition("/")[2]: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]


def again(path: Path, files: Files) -> None:
    """Write a bundle of other files at the same path."""
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"tscm-run-{RUN}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def test_bundle_contains_report_journal_and_commands(packed: Path) -> None:
    assert sorted(content(packed)) == ["SHA256SUMS", "commands.jsonl", "journal.jsonl", "report.html", "report.json"]
    found = evidence.check(packed, run_report.render)
    assert (found.run, found.outcome, found.signature) == (RUN, "done", None)
    assert any("not signed" in line for line in found.lines())
    if os.name != "nt":
        assert packed.stat().st_mode & 0o777 == 0o600


def _changed(name: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        files[name] = files[name].replace(b"done", b"fine", 1)

    return change


def _hash_again(files: Files) -> None:
    names = [name for name in sorted(files) if not name.startswith("SHA256SUMS")]
    files["SHA256SUMS"] = "".join(f"{hashlib.sha256(files[n]).hexdigest()}  {n}\n" for n in names).encode()


def _hashes_follow(name: str, before: bytes = b"done", after: bytes = b"fine") -> Callable[[Files], None]:
    """Return a change of one file after which all hashes are made again."""

    def change(files: Files) -> None:
        assert before in files[name]
        files[name] = files[name].replace(before, after, 1)
        _hash_again(files)

    return change


def _removed(name: str) -> Callable[[Files], None]:
    def change(files: Files) -> None:
        del files[name]
        _hash_again(files)

    return change


def _chained_again(files: Files) -> None:
    """Change the journal, make its chain and all hashes again, and leave the report as it was."""
    lines, before = [], ""
    for line in files["journal.jsonl"].replace(b'"outcome": "done"', b'"outcome": "failed"').splitlines():
        body = json.dumps({key: value for key, value in json.loads(line).items() if key != "sum"}, sort_keys=True)
        before = hashlib.sha256(f"{before}\n{body}".encode()).hexdigest()[:16]
        lines.append(f'{body[:-1]}, "sum": "{before}"}}')
    files["journal.jsonl"] = "".join(f"{line}\n" for line in lines).encode()
    _hash_again(files)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_changed("report.html"), "report.html was changed"),
        (_changed("journal.jsonl"), "journal.jsonl was changed"),
        (_changed("report.json"), "report.json was changed"),
        (lambda files: files.update({"commands.jsonl": b"{}"}), "commands.jsonl was changed"),
        (
            lambda files: (_changed("report.html")(files), _changed("report.json")(files)),
            "report.html was changed; report.json was changed",
        ),
        (lambda files: files.pop("journal.jsonl"), "journal.jsonl is missing"),
        (lambda files: files.pop("commands.jsonl"), "commands.jsonl is missing"),
        (
            lambda files: files.update({"SHA256SUMS": files["SHA256SUMS"].splitlines(keepends=True)[0]}),
            "journal.jsonl is not in SHA256SUMS; report.html is not in SHA256SUMS",
        ),
        (lambda files: files.update({"SHA256SUMS.asc": b"garbage"}), "the signature is not valid"),
        (_hashes_follow("journal.jsonl"), "the chain of the journal is broken"),
        (_chained_again, "report.json differs from the journal and the commands: outcome, sessions"),
        (_hashes_follow("report.html"), "report.html is not the page of report.json"),
        (_hashes_follow("report.json"), "report.json differs from the journal and the commands: outcome"),
        (_hashes_follow("commands.jsonl", b"true", b"sure"), "report.json differs from .*: commands"),
        (_removed("commands.jsonl"), "report.json differs from .*: commands"),
        (_removed("report.html"), "report.html is missing"),
        (_removed("report.json"), "report.json is missing"),
        (_removed("journal.jsonl"), "journal.jsonl is missing"),
        (lambda files: (files.update({"report.json": b"[]"}), _hash_again(files)), "cannot be read"),
        (lambda files: files.pop("SHA256SUMS"), "SHA256SUMS is missing"),
        (lambda files: files.update({"evil.sh": b"x"}), "evil.sh' is not a file of a bundle"),
        (lambda files: files.update({"SHA256SUMS": b"0  ../../etc/passwd\n"}), "cannot be read"),
    ],
)
def test_changed_bundle_is_refused(packed: Path, change: Callable[[Files], object], why: str) -> None:
    files = content(packed)
    change(files)
    again(packed, files)
    with pytest.raises(BundleDamaged, match=why):
        evidence.check(packed, run_report.render)


def test_other_archive_or_link_is_refused_as_bundle(packed: Path, tmp_path: Path) -> None:
    complete = packed.read_bytes()
    packed.write_bytes(complete[: len(complete) // 2])
    with pytest.raises(BundleDamaged):
        evidence.check(packed, run_report.render)
    with pytest.raises(UsageError):
        evidence.check(tmp_path / "none.tar.gz", run_report.render)
    with tarfile.open(packed, "w:gz") as tar:
        link = tarfile.TarInfo("x/report.html")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(BundleDamaged, match="is not a file of a bundle"):
        evidence.check(packed, run_report.render)


@pytest.fixture
def signer(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    with keyring() as home:
        monkeypatch.setenv("GNUPGHOME", str(home))
        yield make_key(home, "Ada Operator <ada@example.org>")


def test_signature_names_its_key_and_covers_the_hashes(tmp_path: Path, signer: str) -> None:
    a_run(tmp_path)
    path, why = evidence.pack(RUN, tmp_path, run_report.render, root=tmp_path)
    assert why == ""
    found = evidence.check(path, run_report.render)
    assert found.signature is not None
    assert (found.signature.fingerprint, found.signature.name) == (signer, "Ada Operator <ada@example.org>")
    assert evidence.check(path, run_report.render, signer).signature == found.signature
    files = content(path)
    _changed("report.html")(files)
    _hash_again(files)
    again(path, files)
    with pytest.raises(BundleDamaged, match="the signature is not valid: it is of other content"):
        evidence.check(path, run_report.render)


def test_missing_or_other_signature_is_refused_for_a_known_signer(tmp_path: Path, signer: str) -> None:
    a_run(tmp_path)
    path, _ = evidence.pack(RUN, tmp_path, run_report.render, root=tmp_path)
    files = content(path)
    home = Path(os.environ["GNUPGHOME"])
    mallory = make_key(home, "Mallory <mallory@example.org>")
    sign = ("--armor", "--detach-sign", "--local-user", mallory, "--output", "-")
    files["SHA256SUMS.asc"] = gpg(home, *sign, stdin=files["SHA256SUMS"])
    again(path, files)
    found = evidence.check(path, run_report.render)
    assert found.signature is not None
    assert found.signature.fingerprint == mallory, "the signature names its signer"
    with pytest.raises(BundleDamaged, match=f"signed by another key: {mallory} .Mallory"):
        evidence.check(path, run_report.render, signer)
    del files["SHA256SUMS.asc"]
    again(path, files)
    with pytest.raises(BundleDamaged, match="it is not signed"):
        evidence.check(path, run_report.render, signer)


def test_fingerprint_is_accepted_in_the_format_of_gpg() -> None:
    shown = "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567"
    assert signatures.fingerprint(shown) == signatures.fingerprint(shown.replace(" ", "").lower())
    for wrong in ("ada@example.org", "01234567", shown + "0"):
        with pytest.raises(UsageError, match="not the fingerprint"):
            signatures.fingerprint(wrong)


def test_report_of_another_version_is_not_compared(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "__version__", "99.0")  # of the program that checks
    found = evidence.check(packed, run_report.render)
    assert any("not compared with the journal" in line for line in found.lines())
    assert any(f"pipx run --spec tscm-migrate=={__version__} " in line for line in found.lines())


@pytest.mark.parametrize("version", ["", "1; rm -rf /", "x", "1" * 50, None])
def test_bundle_with_an_invalid_version_is_refused(tmp_path: Path, version: str | None) -> None:
    a_run(tmp_path)
    path, _ = evidence.pack(RUN, tmp_path, run_report.render, sign=False, root=tmp_path)
    with tarfile.open(path) as tar:
        files = {PurePosixPath(one.name).name: tar.extractfile(one).read() for one in tar}  # type: ignore[union-attr]
    data = json.loads(files["report.json"])
    data["environment"]["report_by"] = version
    files["report.json"] = json.dumps(data).encode()
    hashed = sorted(files.keys() - {evidence.SUMS})
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in hashed)
    path.write_bytes(evidence._archive("tscm-run", files | {evidence.SUMS: sums.encode()}))
    with pytest.raises(BundleDamaged, match="does not name the version"):
        evidence.check(path, run_report.render)


def test_signature_of_an_unknown_key_is_refused(tmp_path: Path, signer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a_run(tmp_path)
    path, _ = evidence.pack(RUN, tmp_path, run_report.render, root=tmp_path)
    with keyring() as empty:
        monkeypatch.setenv("GNUPGHOME", str(empty))
        with pytest.raises(BundleDamaged, match=f"its key {signer[-16:]} is not in the keyring"):
            evidence.check(path, run_report.render)


def test_bundle_without_a_key_is_unsigned_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    a_run(tmp_path)
    with keyring() as empty:
        monkeypatch.setenv("GNUPGHOME", str(empty))
        path, why = evidence.pack(RUN, tmp_path, run_report.render, root=tmp_path)
    assert "there is no gpg key" in why
    assert evidence.check(path, run_report.render).signature is None


SECRET = "hunter2-of-bastion.example.org"


def test_bug_report_contains_only_listed_values(tmp_path: Path) -> None:
    journal = a_run(tmp_path, device=SECRET, cut=True)
    for event, data in (
        ("step-failed", {"step": "restore", "code": SECRET, "error": SECRET}),
        ("noted", {"key": SECRET, "value": SECRET}),
        ("run-ended", {"outcome": SECRET, "standing": [SECRET], "left": [SECRET]}),
    ):
        journal.write(event, **data)
    assert SECRET in (report.folder(RUN, tmp_path) / "journal.jsonl").read_text(encoding="utf-8")
    made = bug_report.build(RUN, tmp_path)
    shown = json.dumps(made)
    for word in (SECRET, "hunter2", "bastion", "tscm-old", "the cable is out", "act "):
        assert word not in shown, shown
    failed = next(event for event in made["events"] if event["event"] == "step-failed")
    assert (failed["step"], failed["code"], failed["seconds"]) == ("take-offline", None, 0.1)
    assert {event["outcome"] for event in made["events"]} == {None, "interrupted"}


def test_bug_report_accepts_only_known_versions(tmp_path: Path) -> None:
    for secret in ("10.20.30.40", "482913", "4829", "1.50-0123", "20.04.482913"):
        facts = {"versions": [["TSCM-Core", secret]], "os_id": secret, "os_version": secret, "sessions": secret}
        journal = Journal.create(RUN, tmp_path / secret)
        journal.write("run-started", run=RUN, old="a", new="b", options={}, notes={"facts": {"old": facts}})
        journal.write("step-failed", step=secret, code=secret, error=secret, seconds=secret)
        assert secret not in json.dumps(bug_report.build(RUN, tmp_path / secret))


def test_bundle_contains_a_repeated_secret_in_no_encoding(tmp_path: Path) -> None:
    secret = "tränen+lachen=7'\"<%"
    redact.known.add(secret)
    said = tuple(f"it said: {write(secret)}" for write in ENCODINGS.values())
    recorder = Recorder(lambda _event: None, run_report.render, tmp_path)
    recorder(RunStarted(RUN, "migrate", "tscm-old", "tscm-new"))
    journal = a_run(tmp_path, device=said[0], fails=True)
    devices = {text: {"ok": False, "seconds": 1.0, "detail": text} for text in said}
    facts = {
        "old": {"name": "tscm-old", "hostname": said[1], "os_pretty": said[2], "versions": [["TSCM-Core", said[3]]]}
    }
    parity = [{"name": text, "same": False, "was": text, "has": text} for text in said]
    for key, value in (("devices", devices), ("facts", facts), ("parity", parity)):
        journal.write("noted", key=key, value=value)
    for text in said:
        journal.write("step-started", step="restore")
        journal.write("action-started", step="restore", host="tscm-new", describes=text)
        journal.write("step-failed", step="restore", code=text, error=text, seconds=0.1)
        for event in (
            CommandRun("tscm-old", text, 1, 0.1),
            Prompted("tscm-new", text, "archive", text),
            Message(text, "error"),
        ):
            recorder(event)
    recorder(RunFinished(RUN, "interrupted", 1.0, left=said, held=said))
    journal.write("run-ended", outcome="attention", left=said, standing=said, next=said)
    path, _ = evidence.pack(RUN, tmp_path, run_report.render, sign=False, root=tmp_path)
    members = {**content(path), "support": json.dumps(bug_report.build(RUN, tmp_path)).encode()}
    for member, data in members.items():
        shown = data.decode()
        assert not [form for form, write in ENCODINGS.items() if write(secret) in shown], member
        assert secret[:9] not in html.unescape(shown), member
    assert members["report.html"].decode().count("it said: ") > 5 * len(said), "the texts are there, without the secret"
    assert evidence.check(path, run_report.render).outcome == "attention"


def test_bug_report_shows_options_without_free_text(tmp_path: Path) -> None:
    options = {"to": SECRET, "encrypt": False, "offline": "isolate", "method": SECRET, "revert_after": 60.0}
    Journal.create(RUN, tmp_path).write("run-started", run=RUN, old=SECRET, new=SECRET, version=SECRET, options=options)
    made = bug_report.build(RUN, tmp_path)
    assert SECRET not in json.dumps(made)
    shown = made["options"]
    assert (shown["encrypt"], shown["offline"], shown["revert_after"]) == (False, "isolate", 60.0)
    assert (shown["to"], shown["method"], made["run_made_by"]) == ("given", "given", None)
