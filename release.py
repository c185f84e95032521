"""What a release is made of: `invoke release` builds it all into dist/.

The wheel and the sdist, a bill of materials (CycloneDX, JSON) of what the locked installation consists of, and the
SHA-256 of each of them. Two builds of one commit on one kind of machine are the same, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
RUNTIME = ROOT / "requirements" / "runtime.txt"
PIP = ("-m", "pip", "--disable-pip-version-check", "-q")


def main(argv: list[str]) -> int:
    """Build into the folder that is named, which has to be empty or new."""
    out = Path(argv[0] if argv else "dist").resolve()
    if out.exists() and any(out.iterdir()):
        sys.stderr.write(f"{out} is not empty: take away what an earlier release left there\n")
        return 1
    python([sys.executable, "-m", "build", "-q", "--no-isolation", "--outdir", str(out), str(ROOT)])
    (wheel,) = out.glob("*.whl")
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        name, version = wheel.name.split("-")[:2]
        bill(install(Path(folder), wheel), version, out / f"{name}-{version}.cdx.json")
    checksums(out)
    for path in sorted(out.iterdir()):
        sys.stdout.write(f"{path.stat().st_size:>9}  {path.name}\n")
    return 0


def install(room: Path, wheel: Path) -> Path:
    """The wheel and its locked dependencies in an environment of their own, without pip; its Python."""
    venv.create(room, with_pip=False, symlinks=os.name != "nt")
    target = room / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    into = [sys.executable, *PIP, "--python", str(target), "install"]
    python([*into, "--no-deps", "--require-hashes", "-r", str(RUNTIME)])  # it is complete: resolve nothing
    python([*into, "--no-deps", str(wheel)])
    return target


def bill(target: Path, version: str, out: Path) -> None:
    """Write what that environment consists of, with licences and who depends on whom."""
    words = ["environment", str(target), "--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "application"]
    words += ["--output-reproducible", "--of", "JSON", "-o", str(out)]
    python([sys.executable, "-m", "cyclonedx_py", *words])
    told = json.loads(out.read_text(encoding="utf-8"))
    told["metadata"]["component"]["version"] = version  # pyproject.toml leaves it to the build
    out.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def checksums(folder: Path) -> None:
    """SHA256SUMS, as `sha256sum -c` reads it."""
    files = sorted(path for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="ascii", newline="\n")


def python(words: list[str]) -> None:
    """Run, or end here."""
    subprocess.run(words, check=True, timeout=900, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as error:
        sys.exit(f"failed with {error.returncode}: {' '.join(map(str, error.cmd))}")
