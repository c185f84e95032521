"""An appliance with a shell as source and target of transfers; its bytes go over an exec channel, or by SFTP.

The shell scripts that run on the appliance are at the end of the module.
"""

import contextlib
from collections.abc import Iterator

from tscm_migrate.appliance import archives
from tscm_migrate.appliance.appliance import Appliance, quote
from tscm_migrate.archive import hashing
from tscm_migrate.errors import ApplianceError, TransferError
from tscm_migrate.model import Archive
from tscm_migrate.ssh.execution import CommandResult
from tscm_migrate.transfer.base import ByteSink, ByteStream, TargetState
from tscm_migrate.transfer.endpoints.sftp import ApplianceEnd
from tscm_migrate.transfer.keyfiles import MARK
from tscm_migrate.util.text import number

_MODE = "0664"  # documented for the restore; a partial file has 0600, because an archive contains secrets
_WRONG_HASH, _EXISTS, _WRONG_SIZE = 46, 47, 48  # exit statuses of the scripts below
_HASH_TIMEOUT = 4 * 3600.0  # seconds for reading an archive from a slow disk
_IDLE_TIMEOUT = 120.0  # seconds without a byte until a stream is closed


class ShellEnd(ApplianceEnd):
    """An appliance on which commands can be run; a lost connection is opened again by the next call.

    `sftp`: transfer the bytes by SFTP.
    """

    def __init__(self, appliance: Appliance, *, sftp: bool = False) -> None:
        super().__init__(appliance)
        self.sftp = sftp
        self._readable: dict[str, bool] = {}  # by path, without sudo

    # ------------------------------------------------------------------ as a source

    def root_reads(self, archive: Archive) -> bool:
        """Return whether only root can read the archive."""
        if archive.path not in self._readable:
            test = f"[ -r {quote(archive.path)} ]"
            found = self.appliance.run(test, check=False, display=f"test -r {archive.path}")
            self._readable[archive.path] = found.status == 0
        return not self._readable[archive.path]

    def identify(self, archive: Archive) -> Archive:
        """See Source.

        Raises:
            ApplianceError: it is not a regular file, cannot be read, or changes meanwhile.
        """
        return archives.hashed(self.appliance, archive, sudo=self.root_reads(archive))

    def prefix(self, archive: Archive, size: int) -> str:
        """See Source."""
        return self._digest(archive.path, size, sudo=self.root_reads(archive))

    def stamp(self, archive: Archive) -> str:
        """See Source."""
        path = quote(archive.path)
        script = f"stat -c '%s %y %i' {path} && {{ [ ! -r {path} ] || echo readable; }}"
        for sudo in (False, True):
            result = self._run(script, f"stat {archive.path}", sudo=sudo)
            if result.status == 0:
                self._readable[archive.path] = not sudo and "readable" in result.stdout
                return result.stdout.splitlines()[0]
        raise ApplianceError(self.name, f"{archive.path} cannot be inspected: {result.error_output}")

    @contextlib.contextmanager
    def reading(self, archive: Archive, offset: int) -> Iterator[ByteStream]:
        """See Source."""
        if self.sftp:
            kind = self._run(f"{_only_regular(archive.path)}true", f"look at {archive.name}")
            if kind.status == archives.NOT_REGULAR:
                raise ApplianceError(self.name, f"{archive.path} is not a regular file")
            with super().reading(archive, offset) as chunks:
                yield chunks
            return
        path = quote(archive.path)
        script = _only_regular(archive.path)
        script += f"exec tail -c +{offset + 1} {path}" if offset else f"exec cat {path}"
        sudo = self.root_reads(archive)
        with self.appliance.shell.reader(
            script, sudo=sudo, idle=_IDLE_TIMEOUT, display=f"read {archive.name}"
        ) as reader:
            yield reader

    # ------------------------------------------------------------------ as a target

    def look(self, archive: Archive) -> TargetState:
        """See Target."""
        paths, user = self.appliance.paths, self.appliance.host.user
        script = _look_script(paths.backup_dir, self.final(archive), self.part(archive), user)
        result = self._run(script, f"look for {archive.name}", sudo=True, long=True)
        if result.status != 0:
            raise TransferError(f"{paths.backup_dir} on {self.name} cannot be used: {result.error_output}")
        lines = dict(line.split(" ", 1) for line in result.stdout.splitlines() if " " in line)
        final, part, df = lines.get("final", "none"), lines.get("part", "0"), lines.get("free", "").split()
        blocks = number(df[3].removeprefix("-")) if len(df) > 3 else None
        free = None if blocks is None else 0 if df[3].startswith("-") else blocks * 1024
        if final == "none":
            return TargetState("none", number(part) or 0, free)
        return TargetState("same" if final == archive.sha256 else "other", 0, free)

    def part_digest(self, archive: Archive, size: int) -> str:
        """See Target."""
        return self._digest(self.part(archive), size, sudo=True)

    def begin(self, archive: Archive, offset: int) -> None:
        """See Target; the file belongs to the login user, so that writing needs no sudo."""
        if self.sftp:
            self.appliance.shell.sftp().close()  # without SFTP it fails here, before anything is created
        script = _begin_script(self.part(archive), self.appliance.host.user, offset)
        result = self._run(script, f"create the partial file of {archive.name}", sudo=True)
        if result.status != 0:
            raise TransferError(f"{self.name}: the partial file cannot be created: {result.error_output}")

    @contextlib.contextmanager
    def writing(self, archive: Archive, offset: int) -> Iterator[ByteSink]:
        """See Target."""
        part = self.part(archive)
        if self.sftp:
            with super().writing(archive, offset) as out:
                yield out
            return
        script = _append_script(part, offset)
        display = f"write {archive.name}"
        sudo = self.appliance.run(f"[ -w {quote(part)} ]", check=False, display=f"test -w {part}").status != 0
        with self.appliance.shell.writer(script, sudo=sudo, idle=_IDLE_TIMEOUT, display=display) as writer:
            yield writer

    def finish(self, archive: Archive) -> None:
        """See Target."""
        script = _finish_script(self.part(archive), self.final(archive), archive.sha256, self.appliance.host.user)
        result = self._run(script, f"check and name {archive.name}", sudo=True, long=True)
        if result.status == _WRONG_HASH:
            raise TransferError(
                f"the copy of {archive.name} on {self.name} has SHA-256 {result.stdout.strip()[:64]}, "
                f"not {archive.sha256}; it was removed",
                "run again; if it happens twice, check the disk and the memory of that machine",
            )
        if result.status == _EXISTS:
            raise TransferError(f"{archive.name} has appeared on {self.name} meanwhile; it was not overwritten")
        if result.status != 0:
            raise TransferError(f"{archive.name} could not be put in place on {self.name}: {result.error_output}")

    def discard_partial(self, archive: Archive) -> None:
        """See Target."""
        self._run(f"rm -f {quote(self.part(archive))}", "remove the partial file", sudo=True)

    # ------------------------------------------------------------------ both

    def _run(self, script: str, display: str, *, sudo: bool = False, long: bool = False) -> CommandResult:
        timeout = _HASH_TIMEOUT if long else 60.0
        return self.appliance.run(script, sudo=sudo, timeout=timeout, check=False, display=display)

    def _digest(self, path: str, size: int, *, sudo: bool) -> str:
        """Return the SHA-256 of the first `size` bytes; "" where it cannot be computed."""
        script = hashing.of_prefix(quote(path), size)
        result = self._run(script, f"sha256sum of {size} bytes", sudo=sudo, long=True)
        return hashing.digest_in(result.stdout) if result.status == 0 else ""


# ---------------------------------------------------------------------- scripts for the appliance


def _only_regular(path: str) -> str:
    """Exit with NOT_REGULAR unless `path` is a regular file; a link is refused, because root would follow it."""
    p = quote(path)
    return f"[ -f {p} ] && [ ! -L {p} ] || exit {archives.NOT_REGULAR}; "


def _look_script(folder: str, final: str, part: str, user: str) -> str:
    """Create the folder, and print lines: `final` (none, link, or its SHA-256), `part` (size), `free` (from df).

    A writer whose connection was lost may still have the partial file open; it is killed, so that it does not write to
    it later. A link in place of the partial file is removed: root would write to its destination.
    """
    d, f, p, u = quote(folder), quote(final), quote(part), quote(user)
    landed = quote(f"{folder}/.{MARK}-*/{part.rpartition('/')[2]}*")  # a hard link; see `authorise`
    return (
        f"[ -d {d} ] || install -d -o {u} -g {u} -m 0775 {d} || exit 1; "
        f"if [ -L {f} ]; then echo final link; elif [ -e {f} ]; then printf 'final '; {hashing.of_file(f)}; "
        "else echo final none; fi; "
        f"if [ -L {p} ] || {{ [ -e {p} ] && [ ! -f {p} ]; }}; then rm -rf {p}; fi; "
        f"if [ -f {p} ]; then "
        f"if find / -maxdepth 0 -lname x 2>/dev/null; then "
        f"open=$(find /proc/[0-9]*/fd -lname {p} -o -lname {landed} 2>/dev/null); "
        # the find of busybox has no -lname
        f'else open=$(for fd in /proc/[0-9]*/fd/*; do [ ! "$fd" -ef {p} ] || echo "$fd"; done); fi; '
        "for fd in $open; do "
        "pid=${fd#/proc/}; pid=${pid%%/*}; kill -9 $pid 2>/dev/null; i=0; "
        "while [ -e /proc/$pid/fd/0 ] && [ $i -lt 50 ]; do sleep 0.1; i=$((i+1)); "
        f"done; done; echo part $(stat -c %s {p}); fi; "
        f"echo free $(df -Pk {d} | tail -n 1)"
    )


def _begin_script(part: str, user: str, offset: int) -> str:
    """Create a private partial file that belongs to the login user, or check that it has `offset` bytes."""
    p, u = quote(part), quote(user)
    fresh = f"rm -f {p}; (umask 077; set -C; : > {p}); " if offset == 0 else ""
    return f"set -e; {fresh}[ $(stat -c %s {p}) = {offset} ]; chmod 0600 {p}; chown {u}: {p}"


def _append_script(part: str, offset: int) -> str:
    """Append standard input to the partial file, if that has `offset` bytes."""
    p = quote(part)
    same = f'[ "$(stat -c %s {p})" = {offset} ]'
    return f'{same} || {{ echo "it has another size" >&2; exit {_WRONG_SIZE}; }}; exec cat >> {p}'


def _finish_script(part: str, final: str, sha256: str, user: str) -> str:
    """Verify the hash of the file on the disk, set owner and mode, and give it the final name.

    `ln` fails if the final name exists; `mv` would overwrite it.
    """
    p, f, u = quote(part), quote(final), quote(user)
    return (
        f"set -e; sync {p} 2>/dev/null || sync; h=$({hashing.of_file(p)}); "
        f'if [ "$h" != {quote(sha256)} ]; then rm -f {p}; echo "$h"; exit {_WRONG_HASH}; fi; '
        f"chown {u}: {p}; chmod {_MODE} {p}; ln -T {p} {f} || exit {_EXISTS}; rm -f {p}"
    )
