"""The rules for the dialogues of `tsadmin`: data, made for one run from what the operator asked for. Pure."""

from __future__ import annotations

from dataclasses import replace

from tscm_migrate.appliance.common_rules import (
    AGAIN,
    ENTER,
    FILE_NAME,
    INTERFACE,
    MORE,
    PASSPHRASE,
    PLAIN_WORDS,
    RESTORING,
    SUDO,
    UNDER_WAY,
)
from tscm_migrate.appliance.network_rules import network_questions, network_values
from tscm_migrate.appliance.prompts import NO, YES, Rule
from tscm_migrate.appliance.question import vocabulary


def backup_rules(*, encrypt: bool) -> tuple[Rule, ...]:
    """The first run asks whether to encrypt, then for a passphrase, perhaps twice (facts: Commands)."""
    wanted, plain = (YES, NO) if encrypt else (NO, YES)
    not_the_question = (
        r"\b(?:(?:saved|stored)\s+(?:\w+\s+)?(?:pass\w*|keys?|secret)|previous|existing|same|remember\w*|again\s+later|show|display|cipher|algorithm|empty|hint|disk|"
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
            r"encrypt|\benc(?:ypt|rpyt|rytp)|\bgpg\b|\bcipher|\bseal|(?:protect|secure|lock)\w*\b.*(?:backup|archive)"
            r"|(?:backup|archive)\w*\b.*(?:protect|secure|locked)|(?:set|use|with|add|have|choose|want|specify|provide|assign)\b"
            r".*pass\s*(?:phrase|word)|pass\s*(?:phrase|word)[\s-]*protect",
            wanted,
            bare=True,
            neutral=vocabulary("encrypt encryption encrypted"),
            tolerates=r"enabl\w+|activat\w+|support\w*|agree\s+to\s+(?:have\s+)?(?:\w+\s+)?encrypt\w*",
            foreign=not_the_question + r"|\b(?:keep|leave|stay|retain)\b",
        ),
        PASSPHRASE,
        AGAIN,
        INTERFACE,
        FILE_NAME,
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
    *,
    restore_ssh: bool,
    restore_cron: bool,
    bypass_netconf: bool,
    dhcp: bool | None,
    address: str = "",
    continues: bool = False,
) -> tuple[Rule, ...]:
    """Questions of `tsadmin restore` and of the `tsadmin network` that it may walk through, in any order."""
    return (
        SUDO,
        MORE,
        PASSPHRASE,
        AGAIN,
        *_asked_for(restore_ssh=restore_ssh, restore_cron=restore_cron),
        *network_questions(bypass_netconf=bypass_netconf, dhcp=dhcp, address=address),
        *((UNDER_WAY,) if continues else ()),
        *_confirmations(),
        *_archive_names(),
        *network_values(),
        replace(
            ENTER, foreign=_not_by_a_key(restore_ssh=restore_ssh, restore_cron=restore_cron, network=not bypass_netconf)
        ),
    )


def _not_by_a_key(*, restore_ssh: bool, restore_cron: bool, network: bool) -> str:
    """What a mere "Press Enter to …" must not speak of: what is not wanted."""
    unwanted = [
        *([] if restore_ssh else [r"sshd?", r"host[\s-]*keys?"]),
        *([] if restore_cron else [r"cron\w*", "schedule"]),
        *([] if network else [r"network\w*", "ip", "address"]),
    ]
    return "|".join([ENTER.foreign, *([rf"\b(?:{'|'.join(unwanted)})\b"] if unwanted else [])])


def _asked_for(*, restore_ssh: bool, restore_cron: bool) -> tuple[Rule, ...]:
    """What the operator chose: the SSH configuration, cron."""
    return (
        Rule(
            "ssh",
            r"\bsshd?\b|\bsshd?[_-]|secure[\s-]+shell|host[\s-]*keys?\b|server\s+identity|\bopen-?ssh\b|\bssh_host",
            YES if restore_ssh else NO,
            foreign=r"\b(?:ports?|root|log-?ins?|passwords?|allow\w*|forward\w*|access|tunnel\w*|internet|remote\w*|agent|protocol|"
            r"restrict\w*|harden\w*|open|start|listen\w*|connect\w*|session|timeout|banner|version|test|scan|users?|credentials?|accept|authori[sz]ed\w*|vendor\w*|threatstop's\s+(?:\w+\s+){0,2}?keys?|"
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


_A_STATE = r"^\W*(?:is|are|have|has|had|did|do\s+you\s+have)\b"  # of which nobody has told us anything
_OLD_IS_OFF = vocabulary(
    "please is are has have was did i we you confirm that make sure the old previous source original former tscm appliance system "
    "machine server host manager one vm it which came from taken made on backup archive being replaced off offline off-line down switched shut "
    "powered turned disconnected unplugged now already been completely really this centralized threatstop device taken by"
)


def _confirmations() -> tuple[Rule, ...]:
    return (
        Rule(  # a state and no deed: before a restore the run has proved that nobody answers at the old address
            "old-offline",
            r"^\W*(?:please\s+)?(?:is|are|has|have|was|did|(?:i\s+)?confirm(?:\s+that)?|make\s+sure(?:\s+that)?)\b.*"
            r"\b(?:old|previous|source|original|former|(?:came|taken|made|created|originat\w+)\s+(?:from|on))\b.*(?<!\w)(?:off-?line|off|down|disconnected|unplugged)\b"
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
            foreign=_A_STATE,
        ),
        Rule(
            "devices",
            r"\b(?:restor|recover)\w*\b.*\bdevices?\b|\bdevices?\b.*\b(?:restor|recover)\w*",
            YES,
            weak=True,
            only=PLAIN_WORDS | vocabulary("skip omit"),
            foreign=_A_STATE + r"|\b(?:other|any)\b",
        ),
        Rule(
            "proceed",
            r"\b(?:proceed|continue|go\s+(?:on|ahead)|carry\s+on|are\s+you\s+(?:\w+\s+)?sure|really|start|begin|confirm|ready|ok(?:ay)?|"
            r"correct|right|perform)\b|\b(?:restore|recover|use|load)\s+(?:it|this|the|from|that|selected|latest|newest|most\s+recent|backup|archive|now)\b|"
            r"^\W*(?:restore|recover)\s+\S*threatstop_backup|^\W*(?:restore|recover)\W*(?:$|\[|\()|\bwant\s+to\s+(?:restore|recover)\b",
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


def update_rules() -> tuple[Rule, ...]:
    """`tsadmin update` may want sudo; anything else that it asks is for a person."""
    return (SUDO, MORE)
