"""How an appliance words its questions: the same questions in several styles."""

from __future__ import annotations

from dataclasses import dataclass, field

from tscm_migrate.demo.guest.inside.base import TEXTS

QUESTIONS = {
    **TEXTS,
    "dhcp": "Use DHCP",
    "ip": "IP Address",
    "mask": "Subnet Mask",
    "gateway": "Gateway",
    "dns": "DNS Server",
    "more_dns": "Add another DNS Server",
    "apply": "Apply settings",
    "not_yes_or_no": "",
}
SENTENCES = {
    "encrypt": "Would you like to encrypt the backups?",
    "choose": "Enter the number of the backup to restore",
    "network": "System address ({own}) differs from the backup ({theirs}). Update the network configuration?",
    "warning": "WARNING: devices are already configured on this system. Proceed with the restore?",
    "ssh": "Restore SSH configuration?",
    "cron": "Restore Cron configuration files?",
    "reboot": "A reboot is required. Reboot now?",
}
EARLIER = {
    "backup": "Starting backup",
    "restore": "Checking network configuration",
    "check": "",
    "bypass": "Network configuration is not applied (bypass_netconf)",
    "please_reboot": "Please reboot, then run the restore process again.",
    "restoring": "Restoring device {name}: OK",
    "restored": "Restore complete. Run tsadmin update <device name> on each device.",
    "not_yes_or_no": "Please answer yes or no.",
    "not_listed": "Invalid selection.",
    "no_match": "The passphrases do not match or are empty.",
    "not_opened": "Decryption failed: bad session key",
}
YES_BY_DEFAULT = {"encrypt", "network", "ssh", "reboot", "apply"}
YES_NO = {"encrypt", "network", "warning", "ssh", "cron", "reboot", "dhcp", "more_dns", "apply"}


@dataclass(frozen=True)
class Wording:
    """One style of asking.

    Args:
        tags: text before info, warning, error and debug lines.
        yes_no: spelling of the choice; {y} and {n} are upper case if they are the default.
        defaults: an empty answer accepts the default.
        strict: only "yes" and "no" in full are accepted.
        end: text after a prompt that is not yes-or-no.
        newline: prompts end with a line feed.
        colour, noise, drip: ANSI colours; lines that rewrite themselves; prompts that are written in pieces.
        item: a line of the list of archives.
        texts: questions that differ from the documents, and "backups": the line above that list.
        leads: there are lines above some questions.
        messages: other lines.
        asks_dns_until_empty: the question for a DNS server is repeated until the answer is empty.
        term_prompt: questions and menus are printed as CPAN's Term::Prompt prints them.
    """

    tags: tuple[str, str, str, str] = ("[INFO ] : ", "[WARN ] : ", "[ERROR] : ", "[DEBUG] : ")
    yes_no: str = "[{y}/{n}]: "
    defaults: bool = False
    strict: bool = False
    end: str = ": "
    newline: bool = False
    colour: bool = False
    noise: bool = False
    drip: bool = False
    item: str = "  {n}) {name}"
    texts: dict[str, str] = field(default_factory=dict)
    leads: bool = False
    messages: dict[str, str] = field(default_factory=lambda: EARLIER)
    asks_dns_until_empty: bool = False
    term_prompt: bool = False

    @property
    def yes_by_default(self) -> set[str]:
        """The questions whose default is yes, if empty answers are accepted."""
        return YES_BY_DEFAULT - {"ssh"} if self.term_prompt else YES_BY_DEFAULT

    def prompt(self, text: str, *, yes: bool | None = None) -> str:
        """Return the complete prompt of one question; `yes`: the default of a question with the answers yes and no."""
        if yes is None:
            text += self.end
        else:
            y, n = ("Y" if yes else "y", "n" if yes else "N") if self.defaults else ("y", "n")
            text += self.yes_no.format(y=y, n=n)
        if self.colour:
            text = f"\x1b[1;36m?\x1b[0m \x1b[1m{text}\x1b[0m"
        return text + ("\n" if self.newline else "")


WORDINGS: dict[str, Wording] = {
    # `Use DHCP[y/n]: ` and the network settings are the vendor's own wording, the others are in its style
    "documented": Wording(
        item="  {n}) {path}",
        leads=True,
        messages={},
        asks_dns_until_empty=True,
    ),
    "term-prompt": Wording(
        item="{name}",
        texts={"backups": "Available backups"},
        leads=True,
        messages={},
        asks_dns_until_empty=True,
        term_prompt=True,
        defaults=True,
    ),
    "sentences": Wording(texts=SENTENCES),
    "spoken": Wording(
        tags=("INFO: ", "WARNING: ", "ERROR: ", "DEBUG: "),
        yes_no=" (yes/no) ",
        strict=True,
        end="? ",
        item="{n}. {path} ({size} bytes, {date})",
        texts={
            "backups": "The following backups were found:",
            "encrypt": "Do you want your backups to be encrypted",
            "new_passphrase": "What passphrase should protect the backups",
            "again": "The same passphrase again, please",
            "passphrase": "What is the passphrase of this backup",
            "choose": "Which backup do you want to restore",
            "network": "The backup is from {theirs}, this machine is at {own}. Should its network settings be changed",
            "warning": "There are devices on this TSCM. They may be overwritten. Do you want to continue",
            "ssh": "Do you want to restore the SSH host keys",
            "cron": "Do you want to restore the cron jobs",
            "reboot": "The new settings need a restart. Do you want to restart now",
        },
    ),
    "debian": Wording(
        tags=("I: ", "W: ", "E: ", "D: "),
        yes_no=" [{y}/{n}] ",
        defaults=True,
        item="[{n}] {date}  {name}",
        texts={
            "backups": "Index of backups",
            "encrypt": "Encrypt backups?",
            "new_passphrase": "New passphrase",
            "again": "Retype new passphrase",
            "passphrase": "Passphrase",
            "choose": "Select backup [{first}-{last}]",
            "network": "Address is {own}, backup has {theirs}. Apply network configuration of the backup?",
            "warning": "This system already has devices. Continue?",
            "ssh": "Restore ssh host keys (/etc/ssh)?",
            "cron": "Restore /etc/cron.d? If in doubt, choose no.",
            "reboot": "Reboot?",
        },
    ),
    "terse": Wording(
        tags=("", "! ", "! ", "# "),
        yes_no=" (y/n)?",
        end=":",
        drip=True,
        item="{n} {name}",
        texts={
            "backups": "backups",
            "encrypt": "encrypt backup",
            "new_passphrase": "gpg passphrase",
            "again": "gpg passphrase (repeat)",
            "passphrase": "gpg passphrase",
            "choose": "number",
            "network": "ip {own} <> {theirs}, update network config",
            "warning": "devices exist, overwrite",
            "ssh": "ssh config",
            "cron": "cron config",
            "reboot": "reboot",
        },
    ),
    "lines": Wording(
        tags=("[*] ", "[!] ", "[x] ", "[.] "),
        yes_no=" Type y for yes or n for no.",
        end=".",
        newline=True,
        item=" {n}:\t{name}\t{size}\t{date}",
        texts={
            "backups": "Backups on this system (number, name, size, date):",
            "encrypt": "Backups can be encrypted. Encrypt them?",
            "new_passphrase": "Please type the passphrase for encryption",
            "again": "Please type the passphrase once more",
            "passphrase": "Please type the passphrase for decryption",
            "choose": "Please type the number of the backup to restore",
            "network": "Network check: system has {own}, backup has {theirs}. Reconfigure network?",
            "warning": "Existing devices will be overwritten. Go on?",
            "ssh": "The backup has an SSH configuration. Restore it?",
            "cron": "The backup has a cron schedule. Restore it?",
            "reboot": "The system must be restarted. Restart it?",
        },
    ),
    "colour": Wording(
        tags=("\x1b[32m✔\x1b[0m ", "\x1b[33m⚠\x1b[0m ", "\x1b[31m✘\x1b[0m ", "· "),
        yes_no=" \x1b[2m({y}/{n})\x1b[0m › ",
        defaults=True,
        end=" › ",
        colour=True,
        noise=True,
        item="  \x1b[36m{n}\x1b[0m) \x1b[1m{name}\x1b[0m \x1b[2m{size} B\x1b[0m",
        texts={
            "backups": "\x1b[4mBackups\x1b[0m",
            "encrypt": "Encrypt backups with GPG",
            "new_passphrase": "Encryption passphrase",
            "again": "Encryption passphrase (again)",
            "passphrase": "Decryption passphrase",
            "choose": "Backup to restore",
            "network": "Network mismatch: {own} → {theirs}. Update network configuration",
            "warning": "Devices already set up here. Proceed",
            "ssh": "Restore SSH host keys",
            "cron": "Restore cron schedule",
            "reboot": "Reboot required. Reboot now",
        },
    ),
}
