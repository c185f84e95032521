"""Parsing and checking the options of `migrate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from tscm_migrate.errors import Exit, NetconfContradiction, UsageError
from tscm_migrate.options import MigrateOptions

PAIR = {"from_": "old", "to": "new"}


def test_missing_options_have_the_documented_defaults() -> None:
    options = MigrateOptions.parse({**PAIR, "drain_timeout": None, "allow": None, "_context": object()})
    assert options == MigrateOptions("old", "new")
    assert (options.method, options.route, options.archive, options.offline) == ("auto", "auto", "new", "poweroff")
    assert (options.restore_ssh, options.restore_cron, options.encrypt, options.devices) == (True, False, True, "all")


def test_option_values_are_converted() -> None:
    options = MigrateOptions.parse(
        {
            **PAIR,
            "debug": "5",
            "drain_timeout": "90",
            "revert_after": "1h30m",
            "offline": "isolate",
            "devices": "a, b,a",
            "passphrase_file": "p",
            "allow": ["dhcp", "dhcp"],
        }
    )
    assert (options.debug, options.drain_timeout, options.devices) == (5, 90.0, ("a", "b"))
    assert options.revert_after == 5400.0
    assert (options.passphrase_file, options.allow) == (Path("p"), ("dhcp",))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"from_": ""}, "missing option: --from"),
        ({"to": ""}, "missing option: --to"),
        ({"method": "rsnyc"}, "did you mean 'rsync'"),
        ({"route": "x"}, "--route 'x' is unknown"),
        ({"offline": "x"}, "--offline 'x' is unknown"),
        ({"debug": "0"}, "--debug '0'"),
        ({"debug": "8"}, "--debug '8'"),
        ({"debug": "five"}, "--debug 'five'"),
        ({"drain_timeout": "0"}, "--drain-timeout"),
        ({"drain_timeout": "nan"}, "--drain-timeout"),
        ({"drain_timeout": "8d"}, "--drain-timeout"),
        ({"drain_timeout": "30x"}, "is not a duration up to 7 days"),
        ({"drain_timeout": "inf"}, "--drain-timeout"),
        ({"archive": "../x.tsbak"}, "exclude each other"),
        ({"store": "/srv"}, "--store can only"),
        ({"archive": "-x.tsbak"}, "not the name of an archive"),
        ({"archive": "x.zip"}, "not the name of an archive"),
        ({"interface": "eth0; reboot"}, "not an interface name"),
        ({"devices": ","}, "has no device names"),
        ({"devices": "a,--all"}, "has no device names"),
        ({"encrypt": False, "passphrase_file": "p"}, "exclude each other"),
        ({"encrypt": False, "archive": "latest"}, "cannot be used with"),
        ({"archive": "offsite:latest"}, "exclude each other"),
    ],
)
def test_invalid_option_value_is_refused_with_remedy(given: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        MigrateOptions.parse({**PAIR, **given})
    assert words in caught.value.message()
    assert caught.value.remedy()


def test_both_netconf_options_are_refused_with_the_exit_code_of_checks() -> None:
    with pytest.raises(NetconfContradiction) as caught:
        MigrateOptions.parse({**PAIR, "bypass_netconf": True, "force_apply_netconf": True})
    assert caught.value.exit_code is Exit.REFUSED


DEAD = {"from_": "", "to": "tscm-new"}


@pytest.mark.parametrize("archive", ["offsite:latest", "offsite:tscm-old/latest", "offsite:me@10.1.1.43:22/latest"])
def test_disaster_recovery_needs_no_old_appliance(archive: str) -> None:
    options = MigrateOptions.parse({**DEAD, "archive": archive, "store": "/srv"})
    assert options.rescues
    assert MigrateOptions.parse(asdict(options)) == options, "options read from a journal are the same"


def test_archive_file_becomes_an_absolute_path() -> None:
    name = "threatstop_backup_2024-05-01_03_00_00.tsbak"
    options = MigrateOptions.parse({**DEAD, "archive": f"./{name}"})
    assert options.rescues
    assert Path(options.archive) == Path(name).absolute()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "rsync"}, "--method cannot be used with"),
        ({"route": "direct"}, "--route direct cannot be used with"),
        ({"drain_timeout": "60"}, "--drain-timeout cannot be used with"),
        ({"offline": "isolate"}, "--offline cannot be used with"),
        ({"encrypt": False}, "--no-encrypt cannot be used with"),
        ({"archive": "offsite:"}, "not the name of an archive"),
        ({"archive": "offsite:a/b/c"}, "not the name of an archive"),
        ({"archive": "./notes.txt"}, "not the name of an archive"),
        ({"archive": "latest"}, "missing option: --from"),
    ],
)
def test_option_for_the_old_appliance_is_refused_in_disaster_recovery(given: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        MigrateOptions.parse({**DEAD, "archive": "offsite:latest", **given})
    assert words in caught.value.message()
    assert caught.value.remedy()


def test_unknown_check_name_is_refused_with_a_suggestion_and_all_names() -> None:
    with pytest.raises(UsageError, match=r"--allow 'os-differ' is not the name of a check.*os-differs") as refused:
        MigrateOptions.parse({**PAIR, "allow": ["dhcp", "os-differ"]})
    assert "version-unknown" in refused.value.remedy()
