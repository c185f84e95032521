"""The rules for the dialogues of `tsadmin`: data, made for one run from what the operator asked for. Pure."""

from __future__ import annotations

from tscm_migrate.appliance.common_rules import (
    AGAIN,
    ENTER,
    INTERFACE,
    MORE,
    PASSPHRASE,
    PLAIN_WORDS,
    RESTORING,
    SUDO,
)
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


def backup_rules(*, encrypt: bool) -> tuple[Rule, ...]:
    """The first run asks whether to encrypt, then for a passphrase, perhaps twice (facts: Commands)."""
    wanted, plain = (YES, NO) if encrypt else (NO, YES)
    not_the_question = (
        r"\b(?:saved|stored|previous|existing|same|remember\w*|again\s+later|show|display|cipher|algorithm|empty|hint|disk|"
        r"partition|transfer|traffic|connection|logs?|key\s*file|public\s+key|reuse|last|weak|current|besides|"
        r"chang\w*|store\s+(?:the\s+|your\s+)?pass\w*)\b"
    )
    none = () if encrypt else (
        Rule(
            "no-passphrase", r"pass\s*-?(?:phrase|word)", "", kind="enter", alone=True,
            near=r"\b(?:empty|blank|nothing|just\s+(?:press\s+)?(?:enter|return))\b.{0,24}"
            r"(?:\bno\b|\bnone\b|without|unencrypted|plain|unprotected)",
            foreign=r"\bnot\s+be\b",
        ),
    )  # fmt: skip
    return (
        SUDO,
        MORE,
        *none,
        Rule(
            "plain",
            r"plain[\s-]*text|\bun-?encrypted|without\s+(?:any\s+)?(?:encrypt\w*|a\s+pass\w*|pass\w*|protection)|"
            r"\bin\s+(?:the\s+)?clear\b|\bnot\s+(?:be\s+)?encrypt\w*|\bno\s+encryption|\bunprotected|"
            r"\bturn\s+encryption\s+off|\b(?:leave|keep)\b.*\bencrypt\w*\s+(?:off|disabled)|"
            r"\b(?:disable|turn\s+off|switch\s+off|skip|omit|forgo)\b.*\bencrypt\w*",
            plain,
            bare=True,
            alone=True,
            tolerates=r"disabl\w+|\bclear\b",
            foreign=not_the_question,
        ),
        Rule(
            "encrypt",
            r"encrypt|\bgpg\b|\bcipher|\bseal|(?:protect|secure|lock)\w*\b.*(?:backup|archive)"
            r"|(?:backup|archive)\w*\b.*(?:protect|secure|locked)|(?:set|use|with|add|have|choose|want|specify|provide|assign)\b"
            r".*pass\s*(?:phrase|word)|pass\s*(?:phrase|word)[\s-]*protect",
            wanted,
            bare=True,
            tolerates=r"enabl\w+|activat\w+|support\w*",
            foreign=not_the_question + r"|\b(?:keep|leave|stay|retain)\b",
        ),
        PASSPHRASE,
        AGAIN,
        INTERFACE,
        Rule(
            "start",
            r"\b(?:proceed|continue|go\s+(?:on|ahead)|are\s+you\s+sure|really|start|begin|confirm|ready|create|make|run|take|perform)\b",
            YES,
            bare=True,
            near=r"backup|back\s+up|archive",
            weak=True,
            only=PLAIN_WORDS | vocabulary("create make run take back full complete new"),
        ),
        ENTER,
    )


def restore_rules(
    *, restore_ssh: bool, restore_cron: bool, bypass_netconf: bool, dhcp: bool | None, address: str = ""
) -> tuple[Rule, ...]:
    """Questions of `tsadmin restore` and of the `tsadmin network` that it may walk through, in any order."""
    return (
        SUDO,
        MORE,
        PASSPHRASE,
        AGAIN,
        *_asked_for(restore_ssh=restore_ssh, restore_cron=restore_cron),
        *_network_questions(bypass_netconf=bypass_netconf, dhcp=dhcp, address=address),
        *_confirmations(),
        *_archive_names(),
        *_network_values(),
        ENTER,
    )


def _asked_for(*, restore_ssh: bool, restore_cron: bool) -> tuple[Rule, ...]:
    """What the operator chose: the SSH configuration, cron."""
    return (
        Rule(
            "ssh",
            r"\bsshd?\b|\bsshd?[_-]|secure[\s-]+shell|host[\s-]*keys?\b|server\s+identity|\bopen-?ssh\b|\bssh_host",
            YES if restore_ssh else NO,
            foreign=r"\b(?:ports?|root|log-?ins?|passwords?|allow\w*|forward\w*|access|tunnel\w*|internet|remote\w*|agent|protocol|"
            r"restrict\w*|harden\w*|open|start|listen\w*|connect\w*|session|timeout|banner|version|test|scan|users?|credentials?|"
            r"pass\s*phrase|(?:use|using|via|over|through)\s+ssh\s+(?:to|for)|(?:via|over|through)\s+ssh|to\s+new\s+ones|"
            r"new\s+(?:ssh\s+)?(?:host\s*)?keys?|(?:of|for|on)\s+(?:\w+\s+){0,2}?(?:devices?|firewalls?)|device(?:'s|s)?\s+(?:ssh|keys?))\b",
            neutral=vocabulary(
                "ssh sshd openssh secure shell key keys hostkey hostkeys daemon service identity server's"
            ),
        ),
        Rule(
            "cron",
            r"\bcron\w*|\bschedul\w+|\b(?:timed|periodic|recurring|automatic|automated)\s+(?:jobs?|tasks?)|\btimers?\b|"
            r"\bmultidevice-core\b|\btscm_backup\b",
            YES if restore_cron else NO,
            foreign=r"\b(?:run|start|maintenance|test|weekly|daily|nightly|create|new|add|regular\w*|feeds?|"
            r"install\s+(?:a|the)\s+cron\s*job|jobs?\s+for|schedule\s+(?:(?:the|a|this|that|your)\s+)?(?:restor|backup|re-?boot|updat)\w*)\b",
            neutral=vocabulary("cron crontab crontabs job jobs task tasks schedule schedules scheduled timers"),
        ),
    )


def _network_questions(*, bypass_netconf: bool, dhcp: bool | None, address: str) -> tuple[Rule, ...]:
    ours = f"|{address.replace('.', chr(92) + '.')}(?![0-9])" if address else ""
    reboot = r"\b(?:re-?boot|re-?start|power[\s-]*cycl)\w*|\bre-?initiali[sz]e\s+the\s+system"
    # To keep what is set now says nothing of what that is.
    stays = r"\b(?:keep|leave|stay|retain|maintain|preserve|remain)\b"
    # Not known whether the old one had its address by DHCP: then nobody may say.
    known = () if dhcp is None else (
        Rule(
            "dhcp-or-static", r"\bdhcp\b\W*(?:or|/|\||,)\W*\bstatic|\bstatic\b\W*(?:or|/|\||,)\W*\bdhcp|"
            r"\b(?:address(?:ing)?|ip|interface|network)\s*(?:method|mode|type)\b.*\b(?:dhcp|static)\b",
            "dhcp" if dhcp else "static", kind="text", alone=True,
        ),
        Rule(
            "static", r"\b(?:static|manual|fixed)(?:ally)?\b.*\b(?:ip|address\w*|network|config\w*|assign\w*)|\bstatic\b",
            NO if dhcp else YES, bare=True, beats=("network", "address"), foreign=rf"\broutes?\b|\bdhcp\b|\barp\b|\bdns\b|{stays}",
            tolerates=r"enabl\w+",
        ),
        Rule("dhcp", r"\bdhcp\b|\bautomatic(?:ally)?\b.*\b(?:ip|address)|\b(?:ip|address)\w*\b.*\bautomatic", YES if dhcp else NO,
             bare=True, beats=("network", "address"), tolerates=r"enabl\w+", foreign=rf"\b(?:server|relay|lease)\b|{stays}"),
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
             r"host|server|one))\b|^\W*(?:has|have|had|did|was|were)\b"),
        *(() if bypass_netconf else (_APPLY_SETTINGS,)),
        Rule(
            "network",
            r"\bnetwork\w*|\bnetconf\b|\bip[\s-]*(?:v4)?[\s-]*(?:address\w*|config\w*|settings|parameters|setup)\b|"
            r"\bip\b.*\b(?:differ|backup|archive|address|change|from|now)|\b(?:change|set|assign|switch|move|take|keep|leave|retain|preserve)\b.*\bip\b|"
            r"\baddress(?:es)?\b|\binterface\s+(?:config|setting)|\bethernet\b|\blan\b|\bnetplan\b|\bifcfg|\bip\s+stack" + ours,
            NO if bypass_netconf else YES,
            foreign=r"\b(?:time|ntp|test\w*|scan\w*|share[sd]?|drives?|proxy|drivers?|monitor\w*|mac|hardware|e-?mail|mail|ping|"
            r"interfaces?\s+up|firewalls?|wi-?fi|wireless|ipv6|ssh|bandwidth|speed|trust\w*|block\w*|allow\w*|discover\w*|roll\w*\s+back|revert\w*|"
            r"still|on-?line|in\s+use|conflict\w*|duplicate)\b"
            r"|^\W*(?:is|are|was|were|has|have|had|did|does)\b(?!.*\b(?:be|should|differ\w*|mismatch|ok(?:ay)?\s+to)\b)",
            tolerates=r"activat\w+",
            neutral=vocabulary("network networking ip address addresses interface lan ethernet netconf parameters netplan"),
        ),
    )  # fmt: skip


_OLD_IS_OFF = vocabulary(
    "please is are has have was did i we you confirm that make sure the old previous source original former tscm appliance system "
    "machine server host manager one vm it which came from backup archive being replaced off offline off-line down switched shut "
    "powered turned disconnected unplugged now already been completely really this centralized threatstop device taken by"
)


def _confirmations() -> tuple[Rule, ...]:
    return (
        Rule(  # a state and no deed: before a restore the run has proved that nobody answers at the old address
            "old-offline",
            r"^\W*(?:please\s+)?(?:is|are|has|have|was|did|(?:i\s+)?confirm(?:\s+that)?|make\s+sure(?:\s+that)?)\b.*"
            r"\b(?:old|previous|source|original|former|came\s+from)\b.*(?<!\w)(?:off-?line|off|down|disconnected|unplugged)\b"
            r"|^\W*(?:have|has|did)\b.*\b(?:shut\s*down|switch\w*\s+off|power\w*\s+(?:off|down)|disconnect\w*)\b.*"
            r"\b(?:old|previous|source|original|former)\b",
            YES,
            bare=True,
            near=r"\b(?:tscm|appliance|system|machine|server|host|manager|client|vm)\b",
            foreign=r"\b(?:still|on-?line|yet|licen\w+|network|updates?|cron\w*|devices?|firewalls?|services?)\b",
            tolerates=r"shut\s*down|power\s*off",
            only=_OLD_IS_OFF,
        ),
        Rule(
            "devices-exist",
            r"\b(?:devices?|firewalls?)\b.*\b(?:exist|already|present|configured|overwrit|set\s*up|found|replac|lost|here)"
            r"|\boverwrit\w+|\breplac\w+|\b(?:exist\w*|already|present|configured|found)\b.*\b(?:devices?|firewalls?)\b",
            YES,
            bare=True,
            near=RESTORING,
            weak=True,
            only=PLAIN_WORDS,
        ),
        Rule(
            "proceed",
            r"\b(?:proceed|continue|go\s+(?:on|ahead)|carry\s+on|are\s+you\s+(?:\w+\s+)?sure|really|start|begin|confirm|ready|ok(?:ay)?|"
            r"correct|right|perform)\b|\b(?:restore|recover|use|load)\s+(?:it|this|the|from|that|selected|backup|archive|now)\b|"
            r"^\W*(?:restore|recover)\W*(?:$|\[|\()|\bwant\s+to\s+(?:restore|recover)\b",
            YES,
            bare=True,
            times=4,
            near=RESTORING + r"|\boff-?line\b",
            weak=True,
            only=PLAIN_WORDS,
        ),
    )


def _archive_names() -> tuple[Rule, ...]:
    """A question for the archive's name itself; a numbered list is `listing`'s."""
    archive = r"\b(?:backup|archive|restore|tsbak)\b"
    return (
        Rule("archive-path", rf"\b(?:full\s+)?path\b.*{archive}|{archive}.*\bpath\b", "@archive_path", kind="text"),
        Rule(
            "archive-name",
            rf"\b(?:file\s*-?name|name)\b.*{archive}|{archive}.*\b(?:file\s*-?name|name|file)\b|^\W*(?:backup|archive)(?:\s+file)?\W*$",
            "@archive",
            kind="text",
            foreign=r"\b(?:new|save|into|output|host\s*-?name|user\w*|number|index|devices?)\b",
        ),
    )


def _network_values() -> tuple[Rule, ...]:
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
        Rule("address", r"\bip(?:v4)?\b|\baddress\b", "@address", kind="text", foreign=foreign),
    )


def update_rules() -> tuple[Rule, ...]:
    """`tsadmin update` may want sudo; anything else that it asks is for a person."""
    return (SUDO, MORE)
