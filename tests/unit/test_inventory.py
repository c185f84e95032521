"""Reading the inventory: defaults, sources, validation messages, gateways, groups, and where the file is searched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tscm_migrate.errors import Exit, InventoryError
from tscm_migrate.inventory.read import find, load

BASE = """\
[defaults]
user = "admin"
port = 2222

[hosts.tscm-old]
address = "10.1.1.43"
port = 22

[hosts.tscm-new]
address = "10.1.1.50"
"""


def write_inventory(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hosts.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_missing_host_value_comes_from_defaults_with_its_source(tmp_path: Path) -> None:
    inventory = load(write_inventory(tmp_path, BASE))
    old, new = inventory.host("tscm-old"), inventory.host("tscm-new")
    assert (old.user, old.port, old.address) == ("admin", 22, "10.1.1.43")
    assert (new.user, new.port) == ("admin", 2222)
    assert old.known_hosts == tmp_path / "known_hosts"
    assert inventory.source_of("tscm-old", "port") == "hosts.toml:7 hosts.tscm-old.port"
    assert inventory.source_of("tscm-new", "port") == "hosts.toml:3 defaults.port"
    assert inventory.source_of("tscm-new", "interface") == "built-in default"
    assert "port" in old.given
    assert "interface" not in old.given


def test_example_inventory_has_the_documented_addresses() -> None:
    inventory = load(Path(__file__).parents[2] / "inventory" / "hosts.toml")
    assert {h.name: h.address for h in inventory.hosts.values()} == {"tscm-old": "10.1.1.43", "tscm-new": "10.1.1.50"}


def test_every_key_of_a_host_is_read(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    inventory = load(
        write_inventory(
            tmp_path,
            """
known_hosts = "pins"
[defaults]
sudo_password = "keyring"
paths = { tsadmin = "/opt/x/tsadmin", backup_dir = "/b" }
[hosts.jump]
address = "2001:db8::1"
[hosts.a]
address = "[2001:db8::2]"
identity_file = "key"
gateway = "jump"
interface = "ens192"
use_agent = false
passphrase = "command:pass show tscm"
devices = ["asa-1", "pan-2"]
tags = ["west"]
paths.backup_dir = "/c"
dialect = "asked.toml"
[groups]
all = ["a", "jump"]
[hooks]
snapshot = "snap it"
[policy]
drain_timeout = 60
reboot_timeout = "36h"
tsadmin_timeout = "3d"
[notify]
timeout = "30m"
[offsite]
anything = { goes = 1 }
""",
        )
    )
    host = inventory.host("a")
    assert host.address == "2001:db8::2"
    assert host.identity_file == tmp_path / "key"
    assert host.gateway is not None
    assert host.gateway.name == "jump"
    assert (host.interface, host.use_agent, host.devices) == ("ens192", False, ("asa-1", "pan-2"))
    assert (host.sudo_password_source, host.passphrase_source) == ("keyring", "command:pass show tscm")
    assert (host.paths.tsadmin, host.paths.backup_dir) == ("/opt/x/tsadmin", "/c")
    assert host.paths.cron_entry == "/etc/cron.d/multidevice-core"
    assert host.dialect == tmp_path / "asked.toml"
    assert inventory.host("jump").dialect == tmp_path / "dialect.toml"
    assert dict(inventory.groups) == {"all": ("a", "jump"), "west": ("a",)}
    assert inventory.hooks.snapshot == "snap it"
    assert (inventory.policy.drain_timeout, inventory.policy.reboot_timeout) == (60, 129600)
    assert inventory.policy.tsadmin_timeout == 259200
    assert inventory.extras["notify"] == {"timeout": 1800}
    assert inventory.extras["offsite"] == {"anything": {"goes": 1}}
    assert inventory.known_hosts == tmp_path / "pins"


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ('[hosts.a]\naddres = "10.1.1.1"', "hosts.a.addres (line 2)", "unknown key; did you mean 'address'?"),
        ('[hosts.a]\nuser = "x"', "hosts.a.address (line 1)", "is missing"),
        ('[hosts.a]\naddress = "10.1.1.300"', "hosts.a.address (line 2)", "not an IP address or host name"),
        ('[hosts.a]\naddress = "a b"', "hosts.a.address (line 2)", "not an IP address or host name"),
        ('[hosts.a]\naddress = "-oProxyCommand=x"', "hosts.a.address (line 2)", "not an IP address"),
        ('[hosts.a]\naddress = "10.1.1.1"\nport = "22"', "hosts.a.port (line 3)", "whole number"),
        ('[hosts.a]\naddress = "10.1.1.1"\nport = 70000', "hosts.a.port (line 3)", "less than or equal to 65535"),
        ('[defaults]\nprot = 1\n[hosts.a]\naddress="10.1.1.1"', "defaults.prot (line 2)", "did you mean 'port'?"),
        ('[defaults]\nport = 0\n[hosts.a]\naddress="10.1.1.1"', "defaults.port (line 2)", "greater than or equal"),
        ('[hots.a]\naddress = "10.1.1.1"', "hots (line", "did you mean 'hosts'?"),
        ('[hosts."a b"]\naddress = "10.1.1.1"', "hosts.a b (line 1)", "not a name"),
        (
            '[hosts.a]\naddress = "10.1.1.1"\n[[hosts.a.prompts]]\npattern = "("\nanswer = "y"',
            "hosts.a.prompts (line 3)",
            "prompts learn NEW --from OLD",
        ),
        (
            '[hosts.a]\naddress = "10.1.1.1"\n[hosts.a.paths]\nbackup_dri = "/x"',
            "hosts.a.paths.backup_dri (line 4)",
            "did you mean 'backup_dir'?",
        ),
        ('[hosts.a]\naddress = "10.1.1.1"\npaths.log_dir = "x"', "hosts.a.paths.log_dir", "not an absolute path"),
        ('[hosts.a]\naddress = "10.1.1.1"\ngateway = "b"', "hosts.a.gateway (line 3)", "there is no host 'b'"),
        (
            '[hosts.a]\naddress = "10.1.1.1"\ngateway = "b"\n[hosts.b]\naddress = "10.1.1.2"\ngateway = "a"',
            "gateway",
            "circle: a → b → a",
        ),
        ('[groups]\nx = ["missing"]', "groups.x (line 2)", "no host 'missing'"),
        ('[hooks]\nsnapshto = "x"', "hooks.snapshto (line 2)", "did you mean 'snapshot'?"),
        ('[policy]\nreboot_timeout = "soon"', "policy.reboot_timeout (line 2)", 'write "30m"'),
        ("[policy]\ndrain_timeout = 0", "policy.drain_timeout (line 2)", 'write "30m"'),
        ('[hosts.a]\naddress = "10.1.1.1"\ndevices = ["--all"]', "hosts.a.devices.0", "not a device name"),
        ("[hosts.a]\naddress = 10.1.1.1", "", "not valid TOML"),
    ],
)
def test_invalid_inventory_is_refused_with_file_key_and_line(tmp_path: Path, text: str, key: str, words: str) -> None:
    path = write_inventory(tmp_path, text)
    with pytest.raises(InventoryError) as caught:
        load(path)
    error = caught.value
    assert error.file == str(path)
    assert key in error.key
    assert words in error.message()
    assert error.remedy()
    assert error.exit_code is Exit.USAGE


def test_password_in_place_of_its_source_is_refused_and_not_shown(tmp_path: Path) -> None:
    path = write_inventory(tmp_path, '[hosts.a]\naddress = "10.1.1.1"\nsudo_password = "hunter2"')
    with pytest.raises(InventoryError, match="the source of the secret") as caught:
        load(path)
    shown = f"{caught.value!r} {caught.value} {caught.value.remedy()} {caught.value.__cause__} {caught.value.__dict__}"
    assert "hunter2" not in shown


def test_missing_identity_file_affects_only_its_host(tmp_path: Path) -> None:
    path = write_inventory(tmp_path, BASE + 'identity_file = "gone"\n')
    inventory = load(path)
    assert inventory.host("tscm-old").identity_file is None
    with pytest.raises(InventoryError, match="gone is not there") as caught:
        inventory.host("tscm-new")
    assert "hosts.tscm-new.identity_file" in caught.value.key
    assert "ssh-keygen" in caught.value.remedy()


@pytest.mark.parametrize("file", ["~no-such-user/key", f"/{'x' * 5000}"])
def test_impossible_path_is_reported_as_missing_file(tmp_path: Path, file: str) -> None:
    inventory = load(
        write_inventory(tmp_path, f'known_hosts = "{file}"\n{BASE}identity_file = "{file}"\ndialect = "{file}"\n')
    )
    with pytest.raises(InventoryError, match="is not there"):
        inventory.host("tscm-new")
    with pytest.raises(InventoryError, match="no inventory file here"):
        load(Path(file))


@pytest.mark.parametrize(
    ("spec", "user", "address", "port"),
    [
        ("bob@192.0.2.7", "bob", "192.0.2.7", 2222),
        ("bob@192.0.2.7:2022", "bob", "192.0.2.7", 2022),
        ("bob@host.example.net", "bob", "host.example.net", 2222),
        ("bob@[2001:db8::7]:2022", "bob", "2001:db8::7", 2022),
        ("bob@2001:db8::7", "bob", "2001:db8::7", 2222),
        ("[2001:db8::7]:23", "admin", "2001:db8::7", 23),
        ("2001:db8::7", "admin", "2001:db8::7", 2222),
        ("192.0.2.7:23", "admin", "192.0.2.7", 23),
    ],
)
def test_host_is_accepted_as_user_address_and_port(
    tmp_path: Path, spec: str, user: str, address: str, port: int
) -> None:
    host = load(write_inventory(tmp_path, BASE)).host(spec)
    assert (host.name, host.user, host.address, host.port) == (spec, user, address, port)


def test_address_in_the_inventory_selects_its_host(tmp_path: Path) -> None:
    inventory = load(write_inventory(tmp_path, BASE))
    assert inventory.host("admin@10.1.1.43").name == "tscm-old"
    assert inventory.host("10.1.1.50").name == "tscm-new"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("tscm-odl", "did you mean 'tscm-old'?"),
        ("nothing-like-it", "there is no host"),
        ("bob@tscm-old", "gives a user"),
        ("bob@10.1.1.43", "its address is that of 'tscm-old'"),
        ("bob@", "neither"),
        ("bob@10.1.1.1:99999", "port"),
        ("bob@10.1.1.1:", "neither"),
        ("-oProxyCommand=x@10.1.1.1", "neither"),
        ("bob@-x", "not an IP address"),
        ("", "empty"),
    ],
)
def test_invalid_host_argument_is_refused_with_remedy(tmp_path: Path, spec: str, words: str) -> None:
    with pytest.raises(InventoryError) as caught:
        load(write_inventory(tmp_path, BASE)).host(spec)
    assert words in caught.value.message()
    assert caught.value.remedy()


def test_inventory_is_searched_in_argument_environment_checkout_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, checkout = tmp_path / "config", tmp_path / "checkout"
    (checkout / "inventory").mkdir(parents=True)
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_a, **_k: str(config))
    monkeypatch.delenv("TSCM_INVENTORY", raising=False)
    monkeypatch.chdir(checkout)
    assert find() is None
    assert load().path is None
    assert load().host("bob@192.0.2.7").known_hosts == config / "known_hosts"

    config.mkdir()
    (config / "hosts.toml").write_text(BASE)
    assert find() == config / "hosts.toml"
    (checkout / "inventory" / "hosts.toml").write_text(BASE)
    assert find() == Path("inventory/hosts.toml")
    (tmp_path / "by-env.toml").write_text(BASE)
    monkeypatch.setenv("TSCM_INVENTORY", str(tmp_path / "by-env.toml"))
    assert find() == tmp_path / "by-env.toml"
    (tmp_path / "by-arg.toml").write_text(BASE)
    assert find(tmp_path / "by-arg.toml") == tmp_path / "by-arg.toml"
    monkeypatch.setenv("TSCM_INVENTORY", str(tmp_path / "gone.toml"))
    with pytest.raises(InventoryError, match="named by TSCM_INVENTORY"):
        find()


def test_default_gateway_does_not_use_itself(tmp_path: Path) -> None:
    inventory = load(
        write_inventory(
            tmp_path, '[defaults]\ngateway = "jump"\n[hosts.jump]\naddress="10.0.0.1"\n[hosts.a]\naddress="10.0.0.2"'
        )
    )
    gateway = inventory.host("a").gateway
    assert gateway is not None
    assert (gateway.name, gateway.gateway) == ("jump", None)
    via = inventory.host("bob@10.9.9.9").gateway
    assert via is not None
    assert via.name == "jump"


def test_gateway_may_be_an_address_outside_the_inventory(tmp_path: Path) -> None:
    path = write_inventory(tmp_path, '[hosts.a]\naddress="10.0.0.2"\ngateway = "ops@jump.example.net:2200"')
    gateway = load(path).host("a").gateway
    assert gateway is not None
    assert (gateway.user, gateway.address, gateway.port) == ("ops", "jump.example.net", 2200)
    assert gateway.known_hosts == tmp_path / "known_hosts"


def test_unknown_group_is_refused_with_suggestion(tmp_path: Path) -> None:
    inventory = load(write_inventory(tmp_path, BASE + '[groups]\nwest = ["tscm-old"]\n'))
    assert [h.name for h in inventory.group("west")] == ["tscm-old"]
    with pytest.raises(InventoryError, match="did you mean 'west'"):
        inventory.group("wset")
