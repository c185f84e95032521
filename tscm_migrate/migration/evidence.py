"""Pack what proves a run into one archive, and check such an archive.

A bundle is a tar.gz with one folder: report, JSON, journal, commands and answers (secrets are redacted before they are
written), SHA256SUMS of all of them, and a gpg signature of SHA256SUMS if the operator has a key. A bundle that is
checked is foreign input: it is read as a stream, nothing is unpacked, and only the known names are accepted.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tscm_migrate.errors import BundleDamaged, BundleUnwritable, UsageError
from tscm_migrate.migration import journal, report
from tscm_migrate.util import private, signatures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SUMS, SIGNATURE, JOURNAL = "SHA256SUMS", "SHA256SUMS.asc", "journal.jsonl"
_HASHED = (report.HTML, report.JSON, JOURNAL, report.COMMANDS)
_LARGEST = 64 << 20  # bytes of one file; a journal or a report has some hundred kilobytes
_LINE = re.compile(r"([0-9a-f]{64})  ([\w.]{1,40})")


@dataclass(frozen=True)
class CheckedBundle:
    """What a bundle proves: `run`, `outcome`, `files` that agree with their hashes, and who signed it."""

    run: str
    outcome: str
    files: tuple[str, ...]
    signature: signatures.SignatureCheck | None

    def lines(self) -> list[str]:
        """Return what was found, for a person."""
        found = [
            f"run {self.run}: {self.outcome}",
            *(f"  ok  {name}" for name in self.files),
            "  ok  chain of the journal",
        ]
        if self.signature is None:
            return [*found, "  not signed: nothing in it was changed by accident, but nothing proves who made it"]
        name = f" ({self.signature.name})" if self.signature.name else ""
        return [*found, f"  ok  signature by key {self.signature.fingerprint}{name}"]


def pack(
    run: str, to: Path | None, render: Callable[[dict[str, Any]], str], *, sign: bool = True, root: Path | None = None
) -> tuple[Path, str]:
    """Write the bundle of a run.

    Args:
        run: the run's id.
        to: file or folder; None: the current folder.
        render: makes the report's page of its data.
        sign: sign with the operator's default gpg key, if there is one.
        root: the state folder; None: the user's.

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


def check(path: Path) -> CheckedBundle:
    """Check a bundle: its names, hashes, journal and signature.

    Raises:
        UsageError: the file cannot be read. BundleDamaged: it is not a bundle, or not what was written.
    """
    files = _read(path)
    if SUMS not in files:
        raise BundleDamaged(str(path), f"{SUMS} is missing")
    listed = dict(_listed(str(path), files[SUMS]))
    present = {name for name in files if name not in {SUMS, SIGNATURE}}
    if wrong := sorted(present ^ listed.keys()):
        raise BundleDamaged(str(path), f"{SUMS} and the files differ: {', '.join(wrong)}")
    for name, digest in listed.items():
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise BundleDamaged(str(path), f"{name} was changed")
    run, outcome = _run_of(str(path), files)
    verdict = signatures.verify(files[SUMS], files[SIGNATURE]) if SIGNATURE in files else None
    if verdict is not None and not verdict.good:
        raise BundleDamaged(str(path), f"the signature is not valid: {verdict.why}")
    return CheckedBundle(run, outcome, tuple(sorted(listed)), verdict)


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
    found = []
    for line in sums.decode("ascii", "replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[2] not in _HASHED:
            raise BundleDamaged(path, f"a line of {SUMS} cannot be read")
        found.append((match[2], match[1]))
    return found


def _run_of(path: str, files: Mapping[str, bytes]) -> tuple[str, str]:
    """Check the chain of the journal, and that the report was made of it; return the run's id and outcome."""
    try:
        data = json.loads(files[report.JSON])
        run, outcome, lines = str(data["run"]), str(data["outcome"]), int(data["journal_lines"])
        entries, damage = journal.parse(files[JOURNAL], Path(path))
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise BundleDamaged(path, "the report or the journal is missing or cannot be read") from error
    if damage is not None:
        raise BundleDamaged(path, "the chain of the journal is broken")
    first = entries[0].data if entries else {}
    if len(entries) != lines or first.get("run") != run:
        raise BundleDamaged(path, "the report was not made of this journal")
    return run, outcome
