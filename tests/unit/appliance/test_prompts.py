"""Questions in many people's words: each gets the foreseen answer, and what nobody asked for gets none."""

from __future__ import annotations

import pytest

from tscm_migrate.appliance import listing
from tscm_migrate.appliance.prompts import Table, looks_like_prompt
from tscm_migrate.appliance.rules import backup_rules, restore_rules
from tscm_migrate.site import PromptRule, Secret

NAME = "threatstop_backup_2026-11-22_10_19_25.tsbak.gpg"
VALUES = {
    "passphrase": Secret("pass phrase"),
    "sudo": Secret("sudo word"),
    "archive": NAME,
    "archive_path": f"/opt/threatstop/backup/{NAME}",
    "address": "10.1.1.43",
    "here": "10.1.1.50",
    "netmask": "255.255.255.0",
    "prefix": "24",
    "network": "10.1.1.0",
    "broadcast": "10.1.1.255",
    "cidr": "10.1.1.43/24",
    "gateway": "10.1.1.1",
    "dns": ("10.1.1.1", "10.1.1.2"),
    "hostname": "tsclient",
    "interface": "eth0",
}


def restoring(**changes: object) -> Table:
    given = {"restore_ssh": True, "restore_cron": False, "bypass_netconf": False, "dhcp": False, "address": "10.1.1.43"}
    return Table(restore_rules(**{**given, **changes}), VALUES)  # type: ignore[arg-type]


def answer(table: Table, text: str) -> str | None:
    *before, line = text.split("\n")
    choice = table.choose(line, tuple(before))
    return None if choice is None else choice.text


# ssh is wanted, cron is not, the network is, static addresses, one archive
RESTORE = [
    # --- the SSH configuration
    ("Restore SSH configuration?[y/n]: ", "y"),
    ("Do you want to restore the SSH host keys? (yes/no) ", "yes"),
    ("Restore ssh host keys (/etc/ssh)? [Y/n] ", "y"),
    ("ssh config (y/n)?:", "y"),
    ("Checking network configuration\nssh config (y/n)?:", "y"),
    ("Do you want to keep the SSH\nhost keys? [y/n] ", "n"),
    ("Reinstate the OpenSSH server identity from the backup [yes|no] > ", "yes"),
    ("Import sshd settings too? <y/n> ", "y"),
    ("Overwrite this machine's host keys with those in the archive? (y/N): ", "y"),
    ("Would you like the secure shell keys brought over as well? y/n: ", "y"),
    ("Keep the current SSH host keys? [y/n] ", "n"),
    ("Should the SSH settings be left as they are? (yes/no) ", "no"),
    ("Skip SSH? [y/n] ", "n"),
    ("Retain existing SSH keys (y/n)? ", "n"),
    ("Preserve this host's SSH identity? [Yes/No]: ", "no"),
    ("Leave sshd_config untouched? (y/n) ", "n"),
    ("Type YES to restore the SSH keys, anything else to skip: ", "YES"),
    ("Press Y to restore the SSH configuration or N to skip it: ", "y"),
    ("SSH configuration: restore it? [Y]es / [N]o: ", "yes"),
    ("Restore the SSH settings? (y = yes, n = no): ", "y"),
    ("SSH host keys found in backup. Restore them? [y,n] ", "y"),
    ("Restore SSH configuration? 1=yes 2=no: ", "1"),
    ("Restore SSH configuration? [1] Yes [2] No: ", "1"),
    ("Restore the SSH configuration?\n  1) Yes\n  2) No\nYour choice: ", "1"),
    ("Keep the SSH keys of this machine?\n 1. yes\n 2. no\nselect > ", "2"),
    ("Restore SSH configuration [Y]: ", "y"),
    ("Restore the SSH configuration (default: yes): ", "yes"),
    ("Restore the SSH configuration? (true/false) ", "true"),
    ("SSH configuration [restore/skip]: ", "restore"),
    ("What about the SSH host keys? [keep/replace] ", "replace"),
    ("Do you want to restore the SSH configuration?\nThis replaces the host keys.\n[y/n]: ", "y"),
    ("The backup holds an SSH configuration. Do you\nwant to restore it? [y/n] ", "y"),
    ("Do you want to restore the SSH\nconfiguration? [y/n] ", "y"),
    ("Backup contains SSH host keys.\nRestore them? (yes or no) ", "yes"),
    ("2024-05-01 03:00:01 [PROMPT] Restore SSH configuration? (y/n/q) ", "y"),
    ("[INFO ] : Restore SSH configuration? Y/N ", "y"),
    # --- cron
    ("Restore Cron configuration files?[y/n]: ", "n"),
    ("Do you want to restore the cron jobs (yes/no)? ", "no"),
    ("Restore /etc/cron.d? If in doubt, choose no. [y/N] ", "n"),
    ("Reinstate scheduled tasks? (y/n) ", "n"),
    ("Overwrite the crontab of this host? [yes/no] ", "no"),
    ("Keep this machine's cron entries? [y/n] ", "y"),
    ("Restore timed jobs as well? [y/n] ", "n"),
    ("The backup has a cron schedule. Restore it? Type y for yes or n for no.", "n"),
    ("Type 'yes' to restore cron: ", "no"),
    ("cron configuration: [apply/skip] ", "skip"),
    # --- the network
    ("System address (10.1.1.50) differs from the backup (10.1.1.43). Update the network configuration?[y/n]: ", "y"),
    ("The backup is from 10.1.1.43, this machine is at 10.1.1.50. Should its network settings be changed (yes/no)? ", "yes"),
    ("The network settings of this backup do not match. Apply them? (y/n) ", "y"),
    ("Change IP to 10.1.1.43? [y/n] ", "y"),
    ("Reconfigure eth0 with 10.1.1.43/24? (yes/no) ", "yes"),
    ("Overwrite local network parameters with the saved ones [yes/no]? ", "yes"),
    ("Leave the network configuration unchanged? [y/n] ", "n"),
    ("Keep the current network configuration? [Y/n] ", "n"),
    ("Do you want to preserve the current IP address 10.1.1.50? (yes/no) ", "no"),
    ("Warning: changing the network configuration may disconnect this session. Continue? [y/n] ", "y"),
    ("Network mismatch: 10.1.1.50 → 10.1.1.43. Update network configuration (y/n) › ", "y"),
    ("Adopt the archived LAN settings? [y/n] ", "y"),
    ("Archive was made at 10.1.1.43\nTake over that address? (y/n) ", "y"),
    ("Address 10.1.1.43 is in the backup, 10.1.1.50 here.\nUse network settings from backup [yes]: ", "yes"),
    # --- the dialogue of tsadmin network
    ("Use DHCP[y/n]: ", "n"),
    ("Enable DHCP? [y/n] ", "n"),
    ("Obtain an IP address automatically (DHCP)? [y/N] ", "n"),
    ("Use DHCP for network configuration? [y/n] ", "n"),
    ("Configure a static IP address? [y/n] ", "y"),
    ("Address method (dhcp/static) [dhcp]: ", "static"),
    ("IP Address: ", "10.1.1.43"),
    ("Enter new IP address [10.1.1.50]: ", "10.1.1.43"),
    ("IPv4 address of eth0: ", "10.1.1.43"),
    ("IP address (CIDR, e.g. 192.168.0.1/24): ", "10.1.1.43/24"),
    ("Subnet Mask: ", "255.255.255.0"),
    ("Netmask [255.255.255.0]: ", "255.255.255.0"),
    ("Prefix length: ", "24"),
    ("Broadcast address: ", "10.1.1.255"),
    ("Network address: ", "10.1.1.0"),
    ("Gateway: ", "10.1.1.1"),
    ("Default gateway IP address: ", "10.1.1.1"),
    ("DNS Server: ", "10.1.1.1"),
    ("Primary name server: ", "10.1.1.1"),
    ("DNS servers (comma separated): ", "10.1.1.1,10.1.1.2"),
    ("Add another DNS Server[y/n]: ", "y"),
    ("Host name [tsclient-new]: ", "tsclient"),
    ("Network interface [eth0]: ", "eth0"),
    ("\t*** Verify IP settings ***\n\tIP Address: 10.1.1.43\nApply settings[y/n]: ", "y"),
    ("IP Address: 10.1.1.43\nGateway: 10.1.1.1\nAre these settings correct? [y/n] ", "y"),
    ("Netmask: 255.255.255.0\nSave changes? (yes/no) ", "yes"),
    # --- restarts
    ("A reboot is required. Reboot now?[y/n]: ", "y"),
    ("The new settings need a restart. Do you want to restart now (yes/no) ", "yes"),
    ("Reboot? [now/later] ", "now"),
    ("Restart the appliance [Y/n]? ", "y"),
    ("Postpone the reboot? [y/n] ", "n"),
    ("The current IP 10.1.1.50 will be lost after the reboot. Continue? [y/n] ", "y"),
    ("Press ENTER to reboot", ""),
    # --- warnings and confirmations
    ("WARNING: devices are already configured on this system. Proceed with the restore?[y/n]: ", "y"),
    ("There are devices on this TSCM. They may be overwritten. Do you want to continue (yes/no)? ", "yes"),
    ("devices exist, overwrite (y/n)?:", "y"),
    ("Existing devices will be overwritten. Go on? Type y for yes or n for no.", "y"),
    ("This will overwrite the current configuration. Are you sure? [y/N] ", "y"),
    ("All current settings will be lost. Continue? [y/N] ", "y"),
    ("Overwrite existing devices? [overwrite/keep] ", "overwrite"),
    ("Start the restore now? [y/n] ", "y"),
    (f"Are you sure you want to restore {NAME}? (yes/no) ", "yes"),
    (f"Selected: {NAME}\nIs this correct? [y/n] ", "y"),
    ("Restore? [y/n] ", "y"),
    ("Ready to restore the backup.\nContinue? [y]/n ", "y"),
    ("Type CONFIRM to overwrite the existing devices: ", "CONFIRM"),
    ("3 devices are set up here already.\nType overwrite to go on, anything else stops: ", "overwrite"),
    ("Devices of the same names are replaced.\nType proceed to go on (any other answer cancels): ", "proceed"),
    ("Enter the word restore to replace the existing devices, or press Ctrl-C to abort: ", "restore"),
    ("This machine has 3 devices. What the archive has under their names replaces them.\nGo on? [y/n] ", "y"),
    ("Network settings\n  host     tsclient\n  address  10.1.1.43/24\nIs the above correct? (yes) ", "yes"),
    ("Existing devices (2) get replaced. Type YES to confirm: ", "YES"),
    ("2 device(s) already configured. Restoring may overwrite them. Continue with restore? (yes/no) [no]: ", "yes"),
    ("Overwrite ALL existing device configurations? Type 'yes' to continue: ", "yes"),
    ("This TSCM has 2 devices.\nAre you absolutely sure? (yes/no) ", "yes"),
    ("Existing devices will be overwritten.\nTo confirm, type the word RESTORE: ", "RESTORE"),
    ("The machine's address will become 10.1.1.43 (now 10.1.1.50). OK? [y/n] ", "y"),
    ("Would you like the cron jobs restored? [y]es [n]o: ", "no"),
    ("Is the old TSCM offline? [y/n] ", "y"),
    ("Have you shut down the previous appliance? (yes/no) ", "yes"),
    ("Is the TSCM that the backup came from switched off? [y/n] ", "y"),
    ("Please confirm that the source system is powered off (yes/no): ", "yes"),
    ("The source TSCM must be offline before you proceed.\nContinue? [y/n] ", "y"),
    ("Password for archive: ", "pass phrase"),
    (f"Password for {NAME}: ", "pass phrase"),
    ("Password for threatstop: ", "sudo word"),
    ("Password for gpguser: ", "sudo word"),
    ("Key to decrypt the archive: ", "pass phrase"),
    ("Unlock code of the archive: ", "pass phrase"),
    ("Archive opened. Temporary files removed.\nContinue with the restore? [y/n] ", "y"),
    ("Devices here: hq-fw1, dmz-pa.\nContinue with the restore? [y/n] ", "y"),
    ("Press [Enter] to continue...", ""),
    ("Hit any key when ready to continue", ""),
    ("--More--", " "),
    ("--More--(45%)", " "),
    ("-- more --", " "),
    ("[more]", " "),
    ("(more: space, quit: q)", " "),
    ("[Space] next page  [Q] quit", " "),
    ("Page 1 of 3 -- space for the next page", " "),
    ("Press SPACE for more, q to quit", " "),
    # --- over several lines, with the slot on one of its own
    (
        ("The network of the archive (10.1.1.43) is left alone, as you wish.\n"
        "The archive has the SSH identity of the machine it was taken on.\nShall this machine present itself with it? [y/n]\n> "),
        "y",
    ),
    ("The network settings will be kept.\nThe archive has cron files.\nRestore it? [y/n] ", "n"),
    (
        ("This machine answers at 10.1.1.50; the archive was taken at 10.1.1.43.\n"
        "Take that address over, and go down for it? [y/n]\n> "),
        "y",
    ),
    ("The archive has the SSH identity of the machine it was taken on.\nShall this machine present itself with it? [y/n]\n> ", "y"),
    ("The archive has the schedule (/etc/cron.d).\nSay yes only where you have changed it. Put it in place? [y/n]\n> ", "n"),
    ("Those that the archive knows as well\nlose what is set here now. Carry on? [y/n]\n> ", "y"),
    ("Do you want the cron files of the machine that made\nthe archive to be put in place as well? (y/n)\n> ", "n"),
    ("Do you want the SSH keys of the machine that made\nthe archive to be put in place as well? (yes/no)\n> ", "yes"),
    ("Restore the SSH keys?\nType YES to do so.\n> ", "YES"),
    # --- single keys
    ("Press y to go on with the restore, any other key to stop ", "y"),
    ("Press y to restore the cron files, any other key leaves them ", "n"),
    ("Continue [Enter] or abort [Ctrl-C]? ", ""),
    # --- what is lost, in other words
    (
        "Devices exist on this system\nand will be replaced by those of the archive.\nIs that what you want? [y/n]\n> ",
        "y",
    ),
    ("Replace what is set up on this machine by what is in the archive? [y/n]\n> ", "y"),
    # --- a letter in each word, all in capitals, in a frame
    ("Reboot required. Reboot (n)ow or (l)ater? ", "n"),
    ("REBOOT REQUIRED. REBOOT (N)OW OR (L)ATER? ", "N"),
    ("SSH host keys: (k)eep or (r)eplace? ", "r"),
    ("Cron files: [R]estore, [S]kip or [A]bort? ", "S"),
    ("Devices exist here already. (o)verwrite them or (a)bort? ", "o"),
    ("THE ARCHIVE HAS CRON FILES.\nDO YOU WANT TO RESTORE THE CRON\nCONFIGURATION? [Y/N] ", "n"),
    ("DO YOU WANT TO RESTORE THE SSH\nCONFIGURATION? [Y/N] ", "y"),
    (
        ("+---------------------------------+\n| WARNING                         |\n|                                 |\n"
        "| DEVICES ARE ON THIS MACHINE.    |\n| THEY WILL BE OVERWRITTEN.       |\n+---------------------------------+\n"
        "CONTINUE? [Y/N] "),
        "y",
    ),
    ("+----------------------------+\n| Restore the SSH keys?      |\n+----------------------------+\n[y/n]: ", "y"),
    (f"{NAME.upper()}\nUSE THIS ONE? ", "y"),
    # --- values
    ("Enter decryption passphrase: ", "pass phrase"),
    ("Passphrase for the backup: ", "pass phrase"),
    ("GPG password: ", "pass phrase"),
    ("Password: ", "pass phrase"),
    ("Please enter the decryption key > ", "pass phrase"),
    ("[sudo] password for threatstop: ", "sudo word"),
    ("Enter the backup file name: ", NAME),
    ("Full path of the backup to restore: ", f"/opt/threatstop/backup/{NAME}"),
]  # fmt: skip

NEVER = [
    "Send anonymous usage statistics to ThreatSTOP? [y/n] ",
    "Help us improve: share telemetry? (yes/no) ",
    "Delete old logs? [y/n] ",
    "Remove archives older than 30 days? [y/n] ",
    "Purge existing devices before restoring? [y/n] ",
    "Do you accept the licence agreement? (yes/no) ",
    "I agree to the terms. Continue? [y/n] ",
    "Register this appliance now? [y/n] ",
    "Reset the appliance to factory settings? [y/n] ",
    "Format the data disk? [y/n] ",
    "Enable remote support? [y/n] ",
    "Enable root login over SSH? [y/n] ",
    "Allow SSH root login? [y/n] ",
    "Change the SSH port? [y/n] ",
    "Allow remote SSH access? (y/n) ",
    "Regenerate the SSH host keys? [y/n] ",
    "Upgrade TSCM-Core before the restore? [y/n] ",
    "Restore historical logs? [y/n] ",
    "Restore web certificates? [y/n] ",
    "Really restore the web certificates? [y/n] ",
    "Create a snapshot first? [y/n] ",
    "Run a network test? [y/n] ",
    "Scan the network for devices? [y/n] ",
    "Use an NTP server for network time? [y/n] ",
    "Merge with existing devices? [y/n] ",
    "Restore SSH and cron configuration? [y/n] ",
    "Enter the ThreatSTOP portal password: ",
    "Root password: ",
    "Password for admin@fw1: ",
    "Enable password of the firewall: ",
    "MAC address: ",
    "E-mail address for alerts: ",
    "IP address of the syslog server: ",
    "NTP server: ",
    "Search domain: ",
    "Serial number: ",
    "Notify the administrator? [y/n] ",
    "Subscribe to the newsletter? [Y/n] ",
    "Show the passphrase? [y/n] ",
    "Remember this password? [y/n] ",
    "SSH configuration: [r]estore from backup, [m]erge, [k]eep: ",
    "Choose a mode:\n 1) full\n 2) devices only\nYour choice: ",
    "Old logs will be deleted before the restore.\nContinue? [y/n] ",
    "Do you accept the licence?\n 1) yes\n 2) no\nYour choice: ",
    "Press Enter to accept the licence",
    "Press Enter to send a crash report",
    "Restore threatstop_backup_2020-01-01_00_00_00.tsbak? [y/n] ",
    "Selected: threatstop_backup_2020-01-01_00_00_00.tsbak\nIs this correct? [y/n] ",
    "Open the firewall for SSH? [y/n] ",
    "Shut down the appliance after the restore? [y/n] ",
    "Do not restore SSH? [y/n] ",
    "Factory defaults will be used. Proceed with the restore? [y/n] ",
    "Continue in unattended mode? [y/n] ",
    "Overwrite the firmware? [y/n] ",
    "The devices of this machine get wiped.\nType overwrite to go on, anything else stops: ",
    "Network settings\n  address 10.9.9.9/24\nIs the above correct? (yes) ",
    "IP address: 10.9.9.9\nGateway: 10.1.1.1\nAre these settings correct? [y/n] ",
    "Shut down the old appliance now? [y/n] ",
    "Are the old logs off the system? [y/n] ",
    "Has the previous administrator shut down the system? [y/n] ",
    "Confirm: take the old TSCM offline? [y/n] ",
    "Host key to encrypt with: ",
    "Restore into which file: ",
    "Is the old TSCM still online? [y/n] ",
    "Is the old TSCM not offline yet? [y/n] ",
    "Has the old licence been switched off? [y/n] ",
    "Should the old TSCM be switched off? [y/n] ",
    "To confirm, type the word DELETE: ",
    "This deletes all archives.\nContinue? [y/n] ",
    "The backup folder is emptied and purged first.\nProceed? [y/n] ",
    "Devices that are not in the archive get removed.\nOverwrite? [y/n] ",
    "Old backups are deleted.\nContinue with the restore? [y/n] ",
    "The archive goes to ThreatSTOP support as well.\nContinue? [y/n] ",
    "This shuts down the old appliance.\nProceed with the restore? [y/n] ",
    "Devices exist.\nType delete to go on, anything else stops: ",
    "Type overwrite to go on, anything else registers this appliance: ",
    "The firmware is replaced.\nType overwrite to go on, anything else stops: ",
    "Type name to restore the devices under: ",
    "Timezone: ",
    "More? [y/n] ",
    "Press y to go on with the upgrade, any other key to stop ",
    "Cancel the restore? [y/n] ",
    "Send logs [Enter] or abort [Ctrl-C]? ",
    "The devices will be deleted from the portal.\nIs that what you want? [y/n] ",
    "Load more archives from the vendor: ",
    "Next page of the licence: ",
    "The archive has an SSH identity.\nThe archive has cron files.\nRestore them? [y/n] ",
    "The archive has cron files and SSH keys.\nRestore it? [y/n] ",
    "Do you want the logs of the machine that made\nthe archive to be put in place as well? (y/n)\n> ",
    "The SSH keys are in place.\nShall the logs be put in place as well? (y/n)\n> ",
    "Those that the archive knows as well\nare mailed to the vendor. Carry on? [y/n]\n> ",
    "Proceed? [y/n] ",
    "A restore is in progress (phase 2). Continue it? ",
    "THREATSTOP_BACKUP_2020-01-01_00_00_00.TSBAK\nUSE THIS ONE? ",
    "+------------------------------+\n| The disk will be wiped first. |\n+------------------------------+\nContinue? [y/n] ",
    "Devices: (d)elete or (k)eep? ",
    "Logs: (s)end now or (l)ater? ",
    "SSH keys: (k)eep, (m)erge or (r)eplace? ",
    "1 [x] network  2 [x] ssh keys  3 [ ] cron - toggle with a number, g to go: ",  # nobody's wishes are known
    "Are you a robot? [y/n] ",
    "? ",
    "> ",
]


@pytest.mark.parametrize(("text", "expected"), RESTORE)
def test_a_known_question_gets_its_answer_in_anybodys_words(text: str, expected: str) -> None:
    assert answer(restoring(), text) == expected


@pytest.mark.parametrize("text", NEVER)
def test_what_nobody_asked_for_is_never_answered(text: str) -> None:
    assert answer(restoring(), text) is None


BACKUP = [
    ("Would you like to encrypt the backups?[y/n]: ", "y"),
    ("Protect the backup with a password? (yes/no) ", "yes"),
    ("Backups can be encrypted. Encrypt them? Type y for yes or n for no.", "y"),
    ("Enable encryption for backups? [y/n] ", "y"),
    ("encrypt backup (y/n)?:", "y"),
    ("Encryption [on/off]: ", "on"),
    ("Would you like to set a passphrase? [Y/n] ", "y"),
    ("Create an unencrypted backup? [y/n] ", "n"),
    ("Store the backup in plain text? [y/n] ", "n"),
    ("Skip encryption? (y/n) ", "n"),
    ("Leave backups unencrypted? [y/N] ", "n"),
    ("An archive holds secrets.\nProtect it, and all later ones, with a GPG secret? [y/n]\n> ", "y"),
    ("Encrypt this and every later backup? [y/n] ", "y"),
    ("Should each backup be encrypted? [y/n] ", "y"),
    ("Continue without encryption? [y/n] ", "n"),
    ("Enter encryption passphrase: ", "pass phrase"),
    ("Confirm encryption passphrase: ", "pass phrase"),
    ("Retype the password: ", "pass phrase"),
    ("Start the backup now? [y/n] ", "y"),
    ("Encrypt [E], plain [P] or abort [A]? ", "E"),
    ("(e)ncrypted or (p)lain backup? ", "e"),
    ("Encrypt [E], plain [P] or upload [U]? ", None),
    ("File name [threatstop_backup_2026-11-22_10_19_25.tsbak.gpg]: ", ""),
    ("FILE NAME [THREATSTOP_BACKUP_2026-11-22_10_19_25.TSBAK.GPG]: ", ""),
    ("Name of the backup (default: /opt/threatstop/backup/threatstop_backup_2026-11-22_10_19_25.tsbak.gpg) > ", ""),
    ("File name [backup.tar]: ", None),
    ("Overwrite which name [threatstop_backup_2026-11-22_10_19_25.tsbak] or another? ", None),
    ("New passphrase (leave empty for no encryption): ", "pass phrase"),
    ("Passphrase, or just Enter for an unencrypted backup: ", "pass phrase"),
    ("Use the stored passphrase? [y/n] ", None),
    ("Delete the oldest backup to make room? [y/n] ", None),
    ("Upload the backup to the cloud? [y/n] ", None),
    ("Encrypt the connection to the portal? [y/n] ", None),
    ("Which cipher should be used for encryption [AES256]: ", None),
    ("E-mail the passphrase to the administrator? [y/n] ", None),
]


@pytest.mark.parametrize(("text", "expected"), BACKUP)
def test_a_backup_that_is_to_be_encrypted(text: str, expected: str | None) -> None:
    assert answer(Table(backup_rules(encrypt=True), VALUES), text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Would you like to encrypt the backups?[y/n]: ", "n"),
        ("Create an unencrypted backup? [y/n] ", "y"),
        ("Encrypt [E], plain [P] or abort [A]? ", "P"),
        ("ENCRYPT [E], PLAIN [P] OR ABORT [A]? ", "P"),
        ("Skip encryption? (yes/no) ", "yes"),
        ("Enter encryption passphrase: ", None),
        ("New passphrase (leave empty for no encryption): ", ""),
        ("Passphrase, or just Enter for an unencrypted backup: ", ""),
        ("Passphrase (must not be empty): ", None),
    ],
)
def test_a_backup_that_is_to_be_plain(text: str, expected: str | None) -> None:
    assert answer(Table(backup_rules(encrypt=False), {**VALUES, "passphrase": None}), text) == expected


@pytest.mark.parametrize(
    ("changes", "text", "expected"),
    [
        ({"restore_ssh": False}, "Restore SSH configuration?[y/n]: ", "n"),
        ({"restore_ssh": False}, "Keep the current SSH host keys? [y/n] ", "y"),
        ({"restore_cron": True}, "Restore Cron configuration files?[y/n]: ", "y"),
        ({"restore_cron": True}, "Restore SSH and cron configuration? [y/n] ", "y"),
        ({"bypass_netconf": True}, "Update the network configuration? [y/n] ", "n"),
        ({"bypass_netconf": True}, "Apply the network configuration and reboot? [y/n] ", None),
        ({"dhcp": True}, "Use DHCP[y/n]: ", "y"),
        ({"dhcp": True}, "Address method (dhcp/static) [static]: ", "dhcp"),
        ({"dhcp": None}, "Use DHCP[y/n]: ", None),
        ({"continues": True}, "A restore is in progress (phase 2). Continue it? ", "y"),
        ({"continues": True}, "AN UNFINISHED RESTORE WAS FOUND. RESUME? [Y/N] ", "y"),
        ({"continues": True}, "Continue the restore that was begun before the reboot? (yes/no) ", "yes"),
        ({"continues": True}, "A restore is in progress. Continue it, or start another (c/s)? ", None),
        (
            {"continues": True},
            "A restore of threatstop_backup_2020-01-01_00_00_00.tsbak is in progress. Continue it? ",
            None,
        ),
        ({"continues": True}, "A restore is in progress. Discard it? ", None),
    ],
)
def test_what_was_asked_for_decides(changes: dict[str, object], text: str, expected: str | None) -> None:
    assert answer(restoring(**changes), text) == expected


def test_a_question_that_comes_again_and_again_was_not_understood() -> None:
    table = restoring()
    given = []
    for _ in range(4):
        choice = table.choose("Restore SSH configuration? ")
        given.append(choice and choice.text)
        if choice:
            table.sent(choice, "Restore SSH configuration? ")
    assert given == ["y", "yes", None, None]


def test_every_name_server_is_given_once_and_then_none() -> None:
    table = restoring()
    said = []
    for line in ("DNS Server: ", "Another DNS server? [y/n] ", "DNS Server: ", "Another DNS server? [y/n] ",
                 "Third name server (optional): ", "DNS Server: "):  # fmt: skip
        choice = table.choose(line)
        said.append(choice and choice.text)
        if choice:
            table.sent(choice, line)
    assert said == ["10.1.1.1", "y", "10.1.1.2", "n", "", None]


def test_the_inventory_may_answer_what_no_rule_knows() -> None:
    table = Table(
        restoring().rules, VALUES, (PromptRule("licen[cs]e", "y", "restore", 1), PromptRule("serial", "@address"))
    )
    choice = table.choose("Do you accept the licence? [y/n] ")
    assert choice is not None
    assert choice.rule == "inventory:1"
    table.sent(choice, "…")
    assert table.choose("Do you accept the licence? [y/n] ") is None
    assert answer(table, "Serial: ") == "10.1.1.43"


def test_a_rule_of_the_inventory_sees_the_question_above_a_bare_slot() -> None:
    table = Table(restoring().rules, VALUES, (PromptRule("licen[cs]e", "y", "restore", 1),))
    assert answer(table, "Do you accept\nthe licence? [y/n]\n> ") == "y"
    assert answer(table, "The licence was accepted.\nAre you a robot? [y/n]\n> ") is None


@pytest.mark.parametrize(
    "line", ["Restoring devices...", "Extracting", "Done", "10% 20%", "Unpacking archive …", "Wait"]
)
def test_progress_without_a_newline_is_no_prompt(line: str) -> None:
    assert not looks_like_prompt(line)


WISHES = {"network": True, "ssh": True, "cron": False, "devices": True}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 [x] network  2 [x] ssh keys  3 [ ] cron  4 [x] devices - toggle with a number, g to go:", "g"),
        ("1 [x] network  2 [x] ssh keys  3 [x] cron  4 [x] devices - toggle with a number, g to go:", "3"),
        ("1 [ ] NETWORK  2 [x] SSH KEYS  3 [ ] CRON  4 [ ] DEVICES - TOGGLE WITH A NUMBER, G TO GO:", "1"),
        ("[a] [x] network settings\n[b] [ ] SSH host keys\n[c] [ ] cron jobs\nToggle with a letter, Enter to continue: ", "b"),
        ("1. [*] network\n2. [*] SSH\n3. [ ] cron\nSelect a number to change it, 0 when done, q to quit: ", "0"),
        ("| 1) [x] network |\n| 2) [x] SSH     |\nToggle a number, [g]o: ", "g"),
        ("Toggle a number, Enter to go on:\n1 [x] network 2 [ ] ssh keys\n> ", None),  # what "> " wants is above
        ("1 [x] network  2 [x] ssh keys  3 [ ] logs - toggle with a number, g to go:", None),
        ("1 [x] network  2 [x] ssh and cron - toggle with a number, g to go:", None),
        ("1 [x] network  2 [x] ssh keys - toggle with a number:", None),
        ("1 [x] network  2 [x] ssh keys - press g to go:", None),
        ("1 [x] network  2 [x] network - toggle with a number, g to go:", None),
        ("1 [x] network  2 [x] ssh keys - toggle what to skip with a number, g to go:", None),
        ("These parts are deleted first:\n1 [x] network  2 [x] ssh keys - toggle with a number, g to go:", None),
    ],
)  # fmt: skip
def test_in_a_menu_of_boxes_each_is_turned_as_wished_and_then_it_goes(text: str, expected: str | None) -> None:
    assert answer(Table(restoring().rules, VALUES, wishes=WISHES), text) == expected


def test_a_box_that_does_not_turn_is_not_tried_again() -> None:
    table = Table(restoring().rules, VALUES, wishes=WISHES)
    line = "1 [x] network  2 [ ] ssh keys - toggle with a number, g to go:"
    choice = table.choose(line)
    assert (choice and choice.text) == "2"
    assert choice is not None
    table.sent(choice, line)
    assert table.choose(line) is None


def test_a_rule_of_the_inventory_sees_the_boxes_above_the_line_that_waits() -> None:
    rules = (PromptRule(r"2 \[x\] site banner", "2", "restore"), PromptRule("g to go", "g", "restore"))
    table = Table(restoring().rules, VALUES, rules, wishes=WISHES)
    assert answer(table, "1 [x] network\n2 [x] site banner\ntoggle with a number, g to go: ") == "2"
    assert answer(table, "1 [x] network\n2 [ ] site banner\ntoggle with a number, g to go: ") == "g"


OTHER = "threatstop_backup_2026-11-21_01_00_00.tsbak"
DATED = ["[a] 2026-11-21 01:00  12M  full", "[b] 2026-11-22 10:19  85K  full", "[q] quit"]


@pytest.mark.parametrize(
    ("lines", "there", "expected"),
    [
        (DATED, [NAME, OTHER], "b"),
        ([f"ARCHIVES (UTC)  {DATED[0]}", *DATED], [NAME, OTHER], "b"),
        (["1) 2026/11/22T10:19:25 85K", "2) 2026/11/21T01:00:00 12M"], [NAME, OTHER], "1"),
        (["1) 2026-11-22 10:19:24 85K"], [NAME, NAME.replace("_25.", "_24.")], None),
        ([*DATED, "[c] 2026-11-22 10:19  85K  full"], [NAME, OTHER], None),  # two of that minute
        (["[a] 2026-11-22 10:19", "[b] 2026-11-22 11:19"], [NAME, NAME.replace("_10_", "_09_")], None),  # another zone
        (DATED, [], None),
        (["2026-11-22 10:19:30 [INFO] tsadmin restore", "> "], [NAME, OTHER], None),
    ],
)  # fmt: skip
def test_in_a_list_of_times_an_archive_is_chosen_by_the_time_in_its_name(
    lines: list[str], there: list[str], expected: str | None
) -> None:
    entry = listing.pick(lines, NAME, "/opt/threatstop/backup", there)
    assert (entry and entry.number) == expected
    assert expected is None or listing.asks_for_archive("Which one? ", lines)


def test_a_menu_of_boxes_below_a_list_is_not_asked_for_an_archive() -> None:
    assert not listing.asks_for_archive("1 [x] network  2 [x] cron - toggle with a number, g to go: ", DATED)
    assert not listing.asks_for_archive("Toggle with a number: ", [f"1) {NAME}"])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"  1) {OTHER}", f"  2) {NAME}"], "2"),
        ([f"[0] {NAME}", f"[1] {OTHER}"], "0"),
        ([f"[1] 2026-11-22 10:19  {NAME}"], "1"),
        ([f" 3:\t{NAME}\t85156\t2026-11-22 10:19"], "3"),
        ([f"1 {NAME}"], "1"),
        ([f"[A] {NAME.upper()}"], "A"),
        ([f"* 1. {OTHER} (latest)", f"  2. {NAME}"], "2"),
        ([f"-> 1) {NAME}"], "1"),
        ([f"│ 12 │ {NAME} │ 85 kB │"], "12"),
        ([f"Backup #4: {NAME}"], "4"),
        ([f"{NAME} (7)"], "7"),
        ([f"1) {OTHER}   3) {NAME}"], "3"),
        ([f"a) {OTHER}", f"b) {NAME}"], "b"),
        ([f"1) /home/threatstop/{NAME}", f"2) /opt/threatstop/backup/{NAME}"], "2"),
        ([f"1) threatstop_latest.tsbak.gpg -> {NAME}", f"2) {NAME}"], "2"),
        ([f"1) {OTHER}", f"2) {NAME}.part"], None),
        ([f"1) {OTHER}"], None),
        ([f"2026-11-22 10:19 {NAME}"], None),
        ([NAME], None),
        ([f"{n}) threatstop_backup_2020-01-01_00_00_{n % 60:02}.tsbak" for n in range(5000)] + [f"5000) {NAME}"], "5000"),
    ],
)  # fmt: skip
def test_an_archive_is_chosen_by_its_name(lines: list[str], expected: str | None) -> None:
    entry = listing.pick(lines, NAME, "/opt/threatstop/backup")
    assert (entry and entry.number) == expected


@pytest.mark.parametrize(
    "question",
    [
        "Enter the number of the backup to restore: ",
        "Which one? ",
        "#? ",
        "number:",
        "Select backup [1-2]: ",
        "> ",
        "[1-2] ",
        "[1]: ",
        "1-2 or x: ",
        "File no.: ",
        "Nr: ",
    ],
)
def test_a_list_wants_a_number(question: str) -> None:
    assert listing.asks_for_archive(question, [f"1) {OTHER}", f"2) {NAME}"])


@pytest.mark.parametrize(
    "question",
    [
        "Log file: ",
        "Serial no.: ",
        "Enter decryption passphrase: ",
        "Please enter the IP address: ",
        "Press Enter to continue",
        "[sudo] password for x: ",
    ],
)
def test_another_question_after_a_list_gets_no_number(question: str) -> None:
    assert not listing.asks_for_archive(question, [f"1) {OTHER}", f"2) {NAME}"])


def test_a_yes_no_question_after_a_list_is_not_asked_for_a_number() -> None:
    assert not listing.asks_for_archive("Restore a backup from this list? [y/n] ", [f"1) {NAME}"])
