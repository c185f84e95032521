from __future__ import annotations

from pathlib import Path

import pytest

from tscm_migrate.errors import Exit, NetconfContradiction, UsageError
from tscm_migrate.options import NOT_YET, MigrateOptions

PAIR = {"from_": "old", "to": "new"}


def test_what_was_not_given_has_the_documented_default() -> None:
    options = MigrateOptions.parse({**PAIR, "drain_timeout": None, "allow": None, "_context": object()})
    assert options == MigrateOptions("old", "new")
    assert (options.method, options.route, options.archive, options.offline) == ("auto", "auto", "new", "poweroff")
    assert (options.restore_ssh, options.restore_cron, options.encrypt, options.devices) == (True, False, True, "all")


def test_values_are_converted() -> None:
    options = MigrateOptions.parse(
        {**PAIR, "debug": "5", "drain_timeout": "90", "devices": "a, b,a", "passphrase_file": "p", "allow": ["x", "x"]}
    )
    assert (options.debug, options.drain_timeout, options.devices) == (5, 90.0, ("a", "b"))
    assert (options.passphrase_file, options.allow) == (Path("p"), ("x",))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"from_": ""}, "--from is missing"),
        ({"to": ""}, "--to is missing"),
        ({"method": "rsnyc"}, "did you mean 'rsync'"),
        ({"route": "x"}, "--route 'x' is unknown"),
        ({"offline": "x"}, "--offline 'x' is unknown"),
        ({"debug": "0"}, "--debug '0'"),
        ({"debug": "8"}, "--debug '8'"),
        ({"debug": "five"}, "--debug 'five'"),
        ({"drain_timeout": "0"}, "--drain-timeout"),
        ({"drain_timeout": "nan"}, "--drain-timeout"),
        ({"drain_timeout": "inf"}, "--drain-timeout"),
        ({"archive": "../x.tsbak"}, "no name of an archive"),
        ({"archive": "-x.tsbak"}, "no name of an archive"),
        ({"archive": "x.zip"}, "no name of an archive"),
        ({"interface": "eth0; reboot"}, "no interface name"),
        ({"devices": ","}, "names no devices"),
        ({"devices": "a,--all"}, "names no devices"),
        ({"encrypt": False, "passphrase_file": "p"}, "exclude each other"),
        ({"encrypt": False, "archive": "latest"}, "does not go with"),
        ({"archive": "offsite:latest"}, "exclude each other"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_a_remedy(given: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        MigrateOptions.parse({**PAIR, **given})
    assert words in caught.value.message()
    assert caught.value.remedy()


def test_both_ways_of_treating_the_network_are_refused_as_the_preflight_does() -> None:
    with pytest.raises(NetconfContradiction) as caught:
        MigrateOptions.parse({**PAIR, "bypass_netconf": True, "force_apply_netconf": True})
    assert caught.value.exit_code is Exit.REFUSED


@pytest.mark.parametrize("text", NOT_YET)
def test_what_is_not_built_is_refused_and_not_ignored(text: str) -> None:
    flag, _, value = text.removeprefix("--").partition(" ")
    given: dict[str, object] = {**PAIR, flag.replace("-", "_"): value.replace("…", "latest") or True}
    if value.startswith("offsite"):
        given["from_"] = ""
    with pytest.raises(UsageError, match="is not yet built"):
        MigrateOptions.parse(given)
