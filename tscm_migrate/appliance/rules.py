"""The rules for the dialogues of `tsadmin`: data, made for one run from what the operator asked for. Pure."""

from __future__ import annotations

from tscm_migrate.appliance.prompts import NO, YES, Rule

# A bare "Proceed?" is answered only where the lines right before it speak of what we started.
_RESTORING = r"restor|backup|archive|device|tsbak|configuration|firewall"

_SUDO = Rule("sudo-password", r"\[sudo\]|sudo.*password|password for \S+\s*:", "@sudo", kind="secret", times=2)
_PASSPHRASE = Rule(
    "passphrase", r"pass\s*-?phrase|password|secret|pass\s*word|key\s*phrase", "@passphrase", kind="secret", times=4
)
_INTERFACE = Rule("interface", r"\binterface\b|\bnic\b", "@interface", kind="text")
_ENTER = Rule("enter", r"\b(?:press|hit)\b.*\b(?:enter|return|key)\b", "", kind="enter", times=6)


def backup_rules(*, encrypt: bool) -> tuple[Rule, ...]:
    """The first run asks whether to encrypt, then for a passphrase, perhaps twice (facts: Commands)."""
    wanted = YES if encrypt else NO
    return (
        _SUDO,
        Rule(
            "encrypt",
            r"encrypt|\bgpg\b|\bcipher|\bseal|(?:protect|secure|lock)\w*\b.*(?:backup|archive)"
            r"|(?:backup|archive)\w*\b.*(?:protect|secure|locked)|(?:set|use|with|add|have|choose).*pass\s*(?:phrase|word)",
            wanted,
            bare=True,
        ),
        _PASSPHRASE,
        _INTERFACE,
        _ENTER,
    )


def restore_rules(
    *, restore_ssh: bool, restore_cron: bool, bypass_netconf: bool, dhcp: bool | None
) -> tuple[Rule, ...]:
    """Questions of `tsadmin restore` and of the `tsadmin network` that it may walk through, in any order."""
    return (
        _SUDO,
        _PASSPHRASE,
        Rule(
            "ssh",
            r"\bssh\b|secure\s+shell|host\s*-?\s*keys?\b|server\s+identity|\bopenssh\b",
            YES if restore_ssh else NO,
        ),
        Rule("cron", r"\bcron\w*\b|\bschedul\w+|timed\s+jobs?", YES if restore_cron else NO),
        # Not known whether the old one had its address by DHCP: then nobody may say.
        *([] if dhcp is None else [Rule("dhcp", r"\bdhcp\b", YES if dhcp else NO, bare=True)]),
        Rule(
            "more-dns",
            r"\b(?:another|more|additional|second)\b.*(?:dns|name\s*-?server)",
            "@more:dns",
            bare=True,
            times=4,
        ),
        Rule("reboot", r"\b(?:re-?boot|restart|power[- ]cycle)\w*", YES, bare=True),
        Rule(
            "apply-settings", r"\bapply\s+(?:the\s+|these\s+)?settings\b|\bsettings\s+correct", YES, bare=True, times=3
        ),
        Rule(
            "network",
            r"\bnetwork\w*|\bnetconf\b|\bip[\s-]*(?:v4)?[\s-]*(?:address|config|settings)?\b.*\b(?:differ|backup|archive|address)"
            r"|\baddress(?:es)?\b|\binterface\s+config",
            NO if bypass_netconf else YES,
        ),
        Rule(
            "devices-exist",
            r"\bdevices?\b.*\b(?:exist|already|present|configured|overwrit|set\s*up|found|replac|lost|here)"
            r"|\boverwrit\w+|\b(?:exist\w*|already|present|configured)\b.*\bdevices?\b|\b(?:firewalls?)\b.*\balready",
            YES,
            bare=True,
            near=_RESTORING,
            weak=True,
        ),
        Rule(
            "proceed",
            r"\b(?:proceed|continue|go\s+(?:on|ahead)|carry\s+on|are\s+you\s+sure|really|start|begin|confirm)\b",
            YES,
            bare=True,
            times=3,
            near=_RESTORING,
            weak=True,
        ),
        *_network_values(),
        _ENTER,
    )


def _network_values() -> tuple[Rule, ...]:
    """The values that `tsadmin network` asks for, each on a line of its own (facts: Platform)."""
    return (
        Rule("netmask", r"\b(?:sub)?net\s*-?mask|\bmask\b", "@netmask", kind="text"),
        Rule("prefix", r"\bprefix\b|\bcidr\b", "@prefix", kind="text"),
        Rule("gateway", r"\bgateway\b|\bdefault\s+route", "@gateway", kind="text"),
        Rule("dns", r"\bdns\b|name\s*-?servers?\b|\bresolver", "@dns", kind="text", times=3),
        Rule("hostname", r"\bhost\s*-?name\b", "@hostname", kind="text"),
        _INTERFACE,
        Rule("address", r"\bip\b|\baddress\b", "@address", kind="text"),
    )


def update_rules() -> tuple[Rule, ...]:
    """`tsadmin update` may want sudo; anything else that it asks is for a person."""
    return (_SUDO,)
