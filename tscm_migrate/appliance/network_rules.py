"""The rules for what a restore, and the `tsadmin network` that it may walk through, ask about the network. Pure data."""

from __future__ import annotations

from tscm_migrate.appliance.common_rules import INTERFACE
from tscm_migrate.appliance.prompts import NO, YES, Rule
from tscm_migrate.appliance.question import vocabulary

_APPLY_SETTINGS = Rule(
    "apply-settings",
    r"\b(?:apply|save|commit|accept|write|use|keep)\s+(?:the\s+|these\s+|this\s+|above\s+|new\s+)*(?:network\s+|ip\s+)?"
    r"(?:settings|values|changes|configuration)\b(?!\s+(?:of|from|in)\b)|"
    r"\b(?:settings|values|configuration|information|data|everything|above|details|this|that|all)\b.{0,24}"
    r"\b(?:correct|right|ok(?:ay)?)\b",
    YES, bare=True, times=3, weak=False, beats=("network",),
    near=r"\b(?:ip|address|netmask|mask|gateway|dns|dhcp|network|restor\w*|backup)\b",
    foreign=r"\b(?:current|existing|ssh|cron\w*|time\w*|present|old|own)\b",
)  # fmt: skip


def network_questions(*, bypass_netconf: bool, dhcp: bool | None, address: str) -> tuple[Rule, ...]:
    """DHCP or not, the reboot, and whether the archive's network settings are taken."""
    ours = f"|{address.replace('.', chr(92) + '.')}(?![0-9])" if address else ""
    reboot = r"\b(?:re-?boot|re-?start|power[\s-]*cycl)\w*|\bre-?initiali[sz]e\s+the\s+system"
    # To keep what is set now says nothing of what that is.
    stays = r"\b(?:keep|leave|stay|retain|maintain|preserve|remain)\b"
    # Not known whether the old one had its address by DHCP: then nobody may say.
    known = () if dhcp is None else (
        Rule(
            "dhcp-or-static", r"\bdhcp\b\W*(?:or|/|\||,)\W*\bstatic|\bstatic\b\W*(?:or|/|\||,)\W*\bdhcp|"
            r"\b(?:address(?:ing)?|ip|interface|network)\s*(?:method|mode|type)\b.*\b(?:dhcp|static)\b",
            "dhcp" if dhcp else "static", kind="text", alone=True, foreign=r"\by(?:es)?\s*[/|]\s*no?\b",
        ),
        Rule(
            "static", r"\b(?:static|manual|fixed)(?:ally)?\b.*\b(?:ip|address\w*|network|config\w*|assign\w*)|\bstatic\b",
            NO if dhcp else YES, bare=True, beats=("network", "address"), foreign=rf"\broutes?\b|\bdhcp\b|\barp\b|\bdns\b|{stays}",
            tolerates=r"enabl\w+",
        ),
        Rule("dhcp", r"\bdhcp\b|\bautomatic(?:ally)?\b.*\b(?:ip|address)|\b(?:ip|address)\w*\b.*\bautomatic", YES if dhcp else NO,
             bare=True, beats=("network", "address"), tolerates=r"enabl\w+", foreign=rf"\b(?:server|relay|lease)\b|\bor\s+static\b|{stays}"),
    )  # fmt: skip
    return (
        *known,
        Rule(
            "more-dns", r"\b(?:another|more|additional|second|further)\b.*(?:dns|name\s*-?server|resolver)", "@more:dns",
            bare=True, times=6, beats=("network", "dns"),
        ),
        Rule("reboot", reboot, YES, bare=True,
             tolerates=r"activat\w+",
             foreign=r"\b(?:services?|daemons?|updat\w+|schedule|every|automatic\w*|daily|weekly|kernel|rescue|recovery|safe\s+mode|bios|"
             r"firmware|installer|devices?|firewalls?|(?:old|other|source|original|previous)\s+(?:tscm|appliance|machine|system|"
             r"host|server|one)|in\s+\d+|abort|cancel)\b|^\W*(?:has|have|had|did|was|were)\b|boot\w*\s+from\b"),
        *(() if bypass_netconf else (_APPLY_SETTINGS,)),
        Rule(
            "network",
            r"\bnetwork\w*|\bnetconf\b|\bip[\s-]*(?:v4)?[\s-]*(?:address\w*|config\w*|settings|parameters|setup)\b|"
            r"\bip\b.*\b(?:differ|backup|archive|address|change|from|now)|\b(?:change|set|assign|switch|move|take|keep|leave|retain|preserve)\b.*\bip\b|"
            r"\baddress(?:es)?\b|\binterface\s+(?:config|setting)|\bethernet\b|\blan\b|\bnetplan\b|\bifcfg|\bip\s+stack" + ours,
            NO if bypass_netconf else YES,
            foreign=r"\b(?:time|ntp|test\w*|scan\w*|share[sd]?|drives?|proxy|drivers?|monitor\w*|mac|hardware|e-?mail|mail|ping|"
            r"interfaces?\s+up|firewalls?|wi-?fi|wireless|ipv6|ssh|bandwidth|speed|trust\w*|block\w*|allow\w*|discover\w*|roll\w*\s+back|revert\w*|"
            r"second|secondary|another|additional|still|on-?line|in\s+use|conflict\w*|duplicate)\b"
            r"|^\W*(?:is|are|was|were|has|have|had|did|does)\b(?!.*\b(?:be|should|differ\w*|mismatch|ok(?:ay)?\s+to)\b)",
            tolerates=r"activat\w+",
            neutral=vocabulary("network networking ip address addresses interface lan ethernet netconf parameters netplan"),
        ),
    )  # fmt: skip


def network_values() -> tuple[Rule, ...]:
    """The values that `tsadmin network` asks for, each on a line of its own (facts: Platform)."""
    foreign = (
        r"\b(?:mac|hardware|e-?mail|mail|remote|peer|logs?|syslog|ntp|proxy|smtp|ipv6|log\s+server|time|snmp|trap|management|"
        r"device|firewall|license|portal|radius|tacacs|ldap|street|alert\w*)\b"
    )
    return (
        Rule("netmask", r"\b(?:sub)?net\s*-?mask|\bmask\b", "@netmask", kind="text", beats=("address", "prefix")),
        Rule("broadcast", r"\bbroadcast\b", "@broadcast", kind="text", beats=("address",)),
        Rule(
            "network-address",
            r"\bnetwork\s+address|\bsubnet\b(?!\s*-?mask)",
            "@network",
            kind="text",
            beats=("address",),
        ),
        Rule(
            "address-cidr",
            r"\b(?:ip|address)\b.*(?:\bcidr\b|/\s*prefix|with\s+prefix|/mask|/nn|\d/\d\d\b)|\bcidr\b.*\baddress",
            "@cidr",
            kind="text",
            beats=("address", "prefix"),
            foreign=foreign,
        ),
        Rule("prefix", r"\bprefix\b|\bcidr\b", "@prefix", kind="text", beats=("address", "network-address")),
        Rule(
            "gateway",
            r"\bgateway\b|\bdefault\s+route|\bdefault\s+gw\b|\brouter\b",
            "@gateway",
            kind="text",
            beats=("address",),
        ),
        Rule(
            "dns",
            r"\bdns\b|name\s*-?servers?\b|\bresolvers?\b",
            "@dns",
            kind="text",
            times=6,
            beats=("address",),
            foreign=r"\b(?:domain|suffix|search|zone)\b",
        ),
        Rule(
            "hostname",
            r"\bhost\s*-?name\b|\bname\s+of\s+(?:this|the)\s+(?:host|system|machine|appliance)\b",
            "@hostname",
            kind="text",
        ),
        INTERFACE,
        Rule(
            "address",
            r"\bip(?:v4)?\b|\baddress\b",
            "@address",
            kind="text",
            foreign=foreign + r"|\b\d\s*[=)]\s*\d{1,3}\.",
        ),
    )
