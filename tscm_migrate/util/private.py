"""The tool's own files and folders on the workstation: where they are, and how they are written.

They are made with explicit modes, whatever the umask is; by default for their owner only.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from tscm_migrate.errors import StateUnwritable

FILE, FOLDER = 0o600, 0o700
_BUFFER = 1 << 18  # bytes that a replacement collects before it writes them


def expanded(path: str | Path) -> Path:
    """Return a path with its ~ replaced; where its user or home is not known it stays, and no file is found there."""
    with contextlib.suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


def is_file(path: str | Path) -> bool:
    """Return whether a file is there; False, too, for a path that is too long or leads through a closed folder."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for these


def folder(path: Path, mode: int = FOLDER) -> Path:
    """Make a folder and every missing one above it with this mode; one that is there keeps its own.

    Raises:
        OSError: it cannot be made, or something else has its name.
    """
    missing = []
    at = Path(path)
    while not at.exists() and at != at.parent:
        missing.append(at)
        at = at.parent
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):  # another process created it
            each.mkdir(mode=mode)
            each.chmod(mode)
    if not path.is_dir():
        path.mkdir()  # raises what is wrong
    return path


def write(path: Path, content: str | bytes, mode: int = FILE) -> None:
    """Write a file so that a reader sees the former one or this one, never a part of it; its mode is then this one.

    Raises:
        OSError: it cannot be written there.
    """
    with Replacement(path, mode) as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.commit()


class Replacement:
    """The next content of a file, written beside it; leaving the block without `commit` keeps the former content.

    Raises:
        OSError: it cannot be written there; also from each method.
    """

    def __init__(self, path: Path, mode: int = FILE) -> None:
        self._path, self._mode = path, mode
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        self._part, self._file = Path(name), os.fdopen(handle, "wb", _BUFFER)

    def write(self, data: bytes) -> None:
        """Append to the new content."""
        self._file.write(data)

    def commit(self) -> None:
        """Write everything to the disk, and give it the file's name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.chmod(self._mode)
        self._part.replace(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


def append(path: Path, text: str, mode: int = FILE, *, sync: bool = False) -> None:
    """Append to a file, which is made with this mode where it is not there; `sync`: wait until it is on the disk.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(text)
        if sync:
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def locked(path: Path, taken: Callable[[], Exception], *, remove: bool = False) -> Iterator[None]:
    """Lock a file until the block (or the process) ends.

    Args:
        path: the lock file, which is made if it is not there.
        taken: returns the error to raise if another process has locked it.
        remove: whether to delete the file afterwards.

    Raises:
        StateUnwritable: the disk is full or read-only.
    """
    from filelock import FileLock, Timeout  # only some commands need it

    try:
        lock = FileLock(path, timeout=0, mode=FILE)
        lock.acquire()
    except Timeout:
        raise taken() from None
    except OSError as error:
        raise StateUnwritable(str(path), error.strerror or str(error)) from error
    try:
        yield
    finally:
        lock.release()
        if remove:
            with contextlib.suppress(OSError):
                path.unlink()


def give_name(part: Path, final: Path) -> None:
    """Give a complete file its final name, and write that name to the disk; never replace a file.

    Raises:
        FileExistsError: the name is taken. OSError: it cannot be named.
    """
    rename = os.name == "nt"  # where it refuses a taken name
    try:
        if not rename:
            os.link(part, final)
    except FileExistsError:
        raise
    except OSError as error:  # without hard links (FAT, some network shares), a check before is all that is possible
        if final.exists():
            raise FileExistsError(errno.EEXIST, "already there", str(final)) from error
        rename = True
    if rename:
        part.rename(final)
    else:
        part.unlink()
    sync(final.parent)


def sync(folder: Path) -> None:
    """Write a folder's names to the disk; not possible on Windows and some network file systems."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


STATE_VARIABLE = "TSCM_STATE"


def state_folder() -> Path:
    """Return the folder of runs, checkpoints and caches; it need not exist.

    TSCM_STATE names it, else it is the user's state folder (XDG_STATE_HOME on Linux).
    """
    import platformdirs

    return Path(os.environ.get(STATE_VARIABLE) or platformdirs.user_state_path("tscm-migrate", appauthor=False))


def config_folder() -> Path:
    """Return the user's configuration folder for this tool; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_config_dir("tscm-migrate", appauthor=False))


def private_folder(*names: str, root: Path | None = None) -> Path:
    """Return a folder below the state folder; create what is missing, readable by the owner only.

    Args:
        names: of the folder and those above it.
        root: used instead of the state folder.

    Raises:
        StateUnwritable: it cannot be created.
    """
    path = (root or state_folder()).joinpath(*names)
    try:
        return folder(path)
    except OSError as error:
        raise StateUnwritable(str(path), error.strerror or str(error)) from error
