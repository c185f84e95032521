"""Pack what proves a run into one archive, and check such an archive.

A bundle is a tar.gz with one folder: report, JSON, journal, commands and answers (secrets are redacted before they are
written), SHA256SUMS of all of them, and a gpg signature of SHA256SUMS if the operator has a key. A bundle that is
checked is foreign input: it is read as a stream, nothing is unpacked, and only the known names are accepted.
"""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tscm_migrate import __version__
from tscm_migrate.errors import BundleDamaged, BundleUnwritable, UsageError
from tscm_migrate.migration import journal, report
from tscm_migrate.util import private, redact, signatures

SUMS, SIGNATURE, JOURNAL = "SHA256SUMS", "SHA256SUMS.asc", "journal.jsonl"
_HASHED = (report.HTML, report.JSON, JOURNAL, report.COMMANDS)
_REQUIRED = (report.HTML, report.JSON, JOURNAL)
_LARGEST = 64 << 20  # bytes of one file; a journal or a report has some hundred kilobytes
_VERSION = re.compile(r"\d[\w.+!-]{0,40}", re.ASCII)  # it is shown as a part of a command
_LINE = re.compile(r"([0-9a-f]{64})  ([\w.]{1,40})")


@dataclass(frozen=True)
class CheckedBundle:
    """What a bundle proves: `run`, `outcome`, `files` that agree with their hashes, and who signed it."""

    run: str
    outcome: str
    files: tuple[str, ...]
    signature: signatures.SignatureCheck | None
    made_by: str = ""  # another version, whose report this one cannot make again of the journal; "": it was compared

    def lines(self) -> list[str]:
        """Return what was found, for a person."""
        shown = [
            f"run {self.run}: {self.outcome}",
            *(f"  ok  {name}" for name in self.files),
            "  ok  chain of the journal",
        ]
        if not self.made_by:
            shown.append("  ok  the report matches the journal and the commands")
        else:
            shown.append(
                f"  the report was written by version {self.made_by} of tscm-migrate: not compared with the journal; "
                f"to compare it, run this check with that version: pipx run --spec tscm-migrate=={self.made_by} "
                "tscm-migrate report check FILE"
            )
        if self.signature is None:
            return [*shown, "  not signed: its parts fit each other, but nothing proves who made it"]
        name = f" ({self.signature.name})" if self.signature.name else ""
        return [*shown, f"  ok  signature by key {self.signature.fingerprint}{name}"]


def pack(
    run: str, to: Path | None, render: Callable[[dict[str, Any]], str], *, sign: bool = True, root: Path | None = None
) -> tuple[Path, str]:
    """Write the bundle of a run to a file or a folder (None: the current one), signed if the operator has a gpg key.

    Returns:
        The bundle's path, and the reason why it is not signed ("" if it is).

    Raises:
        UsageError: there is no such run. BundleUnwritable.
    """
    page = report.write(run, render, root=root)
    files = {name: (page.parent / name).read_bytes() for name in _HASHED if (page.parent / name).is_file()}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())).encode()
    made, why = signatures.sign(sums) if sign else (b"", "--no-sign was given")
    files |= {SUMS: sums} | ({SIGNATURE: made} if made else {})
    name = f"tscm-run-{run}.tar.gz"
    path = Path(name) if to is None else to / name if to.is_dir() else to
    try:
        private.write(path, _archive(f"tscm-run-{run}", files))
    except OSError as error:
        raise BundleUnwritable(str(path), error.strerror or str(error)) from error
    return path, why


def _archive(folder: str, files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as tar:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mode = len(data), private.FILE
            tar.addfile(member, io.BytesIO(data))
    return target.getvalue()


def check(path: Path, render: Callable[[dict[str, Any]], str], signed_by: str = "") -> CheckedBundle:
    """Check a bundle: its names, hashes, journal, report and signature.

    `signed_by` is the fingerprint of the key that has to have signed it; "": any key of the keyring, or none.

    Raises:
        UsageError: the file cannot be read.
        BundleDamaged: it is not a bundle, or not what was written; names each fault.
    """
    files = _read(path)
    if SUMS not in files:
        raise BundleDamaged(str(path), f"{SUMS} is missing")
    listed = dict(_listed(str(path), files[SUMS]))
    verdict = signatures.verify(files[SUMS], files[SIGNATURE]) if SIGNATURE in files else None
    faults = [*_differences(files, listed), *_signature_faults(verdict, signed_by)]
    run, outcome, made_by = "", "", ""
    if not faults:
        run, outcome, made_by, faults = _contents(str(path), files, render)
    if faults:
        raise BundleDamaged(str(path), "; ".join(faults))
    return CheckedBundle(run, outcome, tuple(sorted(listed)), verdict, made_by)


def _differences(files: Mapping[str, bytes], listed: Mapping[str, str]) -> Iterator[str]:
    """Yield each file that is missing, not listed, or not what its hash says."""
    for name in sorted({*files, *listed, *_REQUIRED} - {SUMS, SIGNATURE}):
        if name not in files:
            yield f"{name} is missing"
        elif name not in listed:
            yield f"{name} is not in {SUMS}"
        elif hashlib.sha256(files[name]).hexdigest() != listed[name]:
            yield f"{name} was changed"


def _signature_faults(verdict: signatures.SignatureCheck | None, signed_by: str) -> Iterator[str]:
    if verdict is None:
        if signed_by:
            yield f"it is not signed ({SIGNATURE} is missing)"
    elif not verdict.good:
        yield f"the signature is not valid: {verdict.why}"
    elif signed_by and not verdict.fingerprint.endswith(signed_by):
        yield f"it was signed by another key: {verdict.fingerprint} ({verdict.name})"


def _read(path: Path) -> dict[str, bytes]:
    """Return the files by name, each within its limit."""
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(path, mode="r|gz") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                known = name in {*_HASHED, SUMS, SIGNATURE} and member.isfile() and name not in files
                content = tar.extractfile(member) if known and member.size <= _LARGEST else None
                if content is None:
                    raise BundleDamaged(str(path), f"{member.name[:80]!r} is not a file of a bundle")
                files[name] = content.read()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}", "check the path") from error
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise BundleDamaged(str(path), f"it is not a complete tar.gz: {error}") from error
    return files


def _listed(path: str, sums: bytes) -> list[tuple[str, str]]:
    sums_of = []
    for line in sums.decode("ascii", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[2] not in _HASHED:
            raise BundleDamaged(path, f"a line of {SUMS} cannot be read")
        sums_of.append((match[2], match[1]))
    return sums_of


def _contents(
    path: str, files: Mapping[str, bytes], render: Callable[[dict[str, Any]], str]
) -> tuple[str, str, str, list[str]]:
    """Check the chain of the journal, and that the report matches the journal and the commands.

    Returns:
        The run's id, its outcome, the version that wrote the report if it is another one than this, and what differs.
        Only the version that wrote a report can make it again.

    Raises:
        BundleDamaged: a file cannot be read, or the chain is broken.
    """
    try:
        data = json.loads(files[report.JSON])
        run, outcome, lines = str(data["run"]), str(data["outcome"]), int(data["journal_lines"])
        entries, damage = journal.parse(files[JOURNAL], Path(path))
        if damage is not None:
            raise BundleDamaged(path, "the chain of the journal is broken")
        if len(entries) != lines or (entries[0].data if entries else {}).get("run") != run:
            raise BundleDamaged(path, "the report was not made from this journal")
        made_by = str(data["environment"]["report_by"])
        if made_by != __version__:
            if not _VERSION.fullmatch(made_by):
                raise BundleDamaged(path, "the report does not name the version that wrote it")
            return run, outcome, made_by, []
        return run, outcome, "", _report_faults(data, entries, files, render)
    except BundleDamaged:
        raise
    except Exception as error:  # a bundle is foreign input: anything may be missing in it or of another type
        raise BundleDamaged(path, "the report or the journal is missing or cannot be read") from error


def _report_faults(
    data: dict[str, Any], entries: list[journal.JournalEntry], files: Mapping[str, bytes],
    render: Callable[[dict[str, Any]], str],
) -> list[str]:  # fmt: skip
    """Make the report again of journal and commands, and return what differs from the one in the bundle."""
    record = journal.RunRecord(run=str(data["run"]))
    for entry in entries:
        record.apply(entry)
    made = report.build(record, entries, commands=report.parse_commands(files.get(report.COMMANDS, b"")))
    made["environment"] |= {key: data["environment"].get(key) for key in ("python", "workstation")}  # of who packed it
    again = json.loads(json.dumps(redact.tree(made)))
    differs = sorted(key for key in {*again, *data} if again.get(key) != data.get(key))
    if differs:
        return [f"{report.JSON} differs from the journal and the commands: {', '.join(differs)[:200]}"]
    if redact.known(render(again)).encode() != files[report.HTML]:
        return [f"{report.HTML} is not the page of {report.JSON}"]
    return []
