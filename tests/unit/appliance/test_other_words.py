"""Questions whose yes means the reverse, or another deed than it seems: the right answer, or none, for any wish."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.appliance.test_prompts import NAME, VALUES, answer, restoring
from tscm_migrate.appliance.prompts import Table
from tscm_migrate.appliance.rules import backup_rules

WISHES = [
    dict(zip(("restore_ssh", "restore_cron", "bypass_netconf"), wish, strict=True))
    for wish in itertools.product((True, False), repeat=3)
]

# A yes leaves what is here.
LEAVES = [
    ("restore_ssh", "Keep this machine's own SSH keys? [Y/n] "),
    ("restore_ssh", "Protect existing SSH keys from being overwritten? [Y/n] "),
    ("restore_ssh", "Omit /etc/ssh from the restore? [y/n]"),
    ("restore_ssh", "Use existing SSH host keys? [y/n] "),
    ("restore_cron", "Skip cron restore? (y/N) "),
    ("restore_cron", "Exclude cron files from restore (y/n): "),
    ("restore_cron", "Would you rather keep the cron jobs on this box? [Y/n] "),
    ("network", "Continue without changing the network configuration? (y/n) "),
    ("network", "Continue with the current network configuration? [y/n] "),
    ("network", "Leave IP as is (y/n)? "),
    ("network", "Ignore network settings of the backup (y/n): "),
]
# A yes does it, though the question says "not" somewhere.
DOES = [
    ("restore_ssh", "SSH will NOT be restored unless you say so. Restore it? [y/N] "),
    ("restore_cron", "Have you modified the standard cron schedule? If not, choose no. Restore it? [y/N] "),
]


def wished(what: str, wish: dict[str, bool]) -> bool:
    return not wish["bypass_netconf"] if what == "network" else wish[what]


@pytest.mark.parametrize(("what", "text"), LEAVES)
@pytest.mark.parametrize("wish", WISHES)
def test_a_yes_that_leaves_what_is_here_is_the_reverse_of_the_wish(what: str, text: str, wish: dict[str, bool]) -> None:
    assert answer(restoring(**wish), text) == ("n" if wished(what, wish) else "y")


@pytest.mark.parametrize(("what", "text"), DOES)
@pytest.mark.parametrize("wish", WISHES)
def test_a_denial_told_before_the_question_does_not_turn_it_round(what: str, text: str, wish: dict[str, bool]) -> None:
    assert answer(restoring(**wish), text) == ("y" if wished(what, wish) else "n")


@pytest.mark.parametrize(
    ("text", "use", "keep"),
    [("SSH host keys from backup (u)se, or (k)eep current ones? ", "u", "k"), ("SSH: [R]estore or [S]kip? ", "R", "S")],
)
def test_two_words_with_their_letters_are_a_choice(text: str, use: str, keep: str) -> None:
    assert answer(restoring(restore_ssh=True), text) == use
    assert answer(restoring(restore_ssh=False), text) == keep


TO_A_PERSON = [
    # --- denied twice, or by another word than "not"
    "Don't skip cron? [y/n] ",
    "Don’t restore cron? [y/n] ",
    "Shouldn't the SSH keys be restored? [y/n] ",
    "Do you mind if the SSH configuration is restored? [y/n] ",
    "Any objection to restoring SSH? [y/n] ",
    "Do you want to avoid restoring cron? [y/n] ",
    "Restore everything except SSH? [y/n] ",
    "Restore everything but cron? [y/n] ",
    "Restore with no SSH keys? [y/n] ",
    "Confirm that SSH is not to be restored [y/n] ",
    "Cron is not restored. OK? [y/n] ",
    "no ssh? [y/n] ",
    "No network changes? [y/n] ",
    "ssh=no? [y/n] ",
    # --- what has been said is to be turned round, or a part of it, or not now
    "Cron is restored by default. Change that? [y/N] ",
    "SSH will be kept. Change this? [y/n] ",
    "Undo the SSH restore? [y/n] ",
    "Restore SSH later? [y/n] ",
    "Only restore SSH and nothing else? [y/n] ",
    "Restore just the network settings? [y/n] ",
    "Roll back the network settings? [y/n] ",
    # --- into the archive, not out of it
    "Overwrite the SSH keys in the backup? [y/n] ",
    "Replace the backed up SSH keys with those of this machine? [y/n] ",
    "Overwrite the archive's cron files with the current ones? [y/n] ",
    "Update the backup with the current network configuration? [y/n] ",
    "Keep SSH keys from backup? [y/n] ",
    "Retain the address stored in the archive (10.1.1.43)? [y/n] ",
    # --- another deed with the same things
    "Back up the current SSH keys before restoring? [y/n] ",
    "Show SSH changes before restoring? [y/n] ",
    "Pause the cron jobs during the restore? [y/n] ",
    "Have you noted the SSH fingerprint before restoring? [y/n] ",
    "Change SSH host keys to new ones? [y/n] ",
    "Change the SSH passphrase? [y/n] ",
    "Use SSH to copy the archive? [y/n] ",
    "Replace device SSH keys? [y/n] ",
    "Update SSH credentials of the devices? [y/n] ",
    "Install a cron job for regular backups? [y/n] ",
    "Schedule the restore for tonight? [y/n] ",
    "Update the schedule of ThreatSTOP's feeds? [y/n] ",
    # --- how, when, by whom, or whether it would be wise
    "Is it safe to restore SSH? [y/n] ",
    "Would you like to restore SSH manually? [y/n] ",
    "Ask before restoring cron? [y/n] ",
    "Log SSH restore? [y/n] ",
    "Stop all cron jobs first? [y/n] ",
    "Fix permissions of SSH keys? [y/n] ",
    "Make a copy of the present SSH keys? [y/n] ",
    "Is it a problem if SSH is restored? [y/n] ",
    "Want SSH as before the restore? [y/n] ",
    "Revert cron? [y/n] ",
    "Restore default cron schedule? [y/n] ",
    "Use the shipped cron files? [y/n] ",
    "Use network settings of this machine? [y/n] ",
    "Use SSH keys that are already here? [y/n] ",
    "Accept the SSH host key of 10.1.1.43? [y/n] ",
    "Apply network configuration after the reboot? [y/n] ",
    "Apply IP settings temporarily? [y/n] ",
    "Configure a second network interface? [y/n] ",
    "Update device logging to the new IP address? [y/n] ",
    "Change nothing about the network? [y/n] ",
    "Use DHCP or static? [y/n] ",
    "Network: old/new? ",
    "Address to use (1 = 10.1.1.43, 2 = 10.1.1.50): ",
    "1) 10.1.1.43\n2) 10.1.1.50\nWhich IP address? ",
    "Really quit the restore? [y/n] ",
    "Perform a backup of this TSCM before the restore? [y/n] ",
    "Restore other devices? [y/n] ",
    "Are devices restored already? [y/n] ",
    "Press any key to cancel the restore",
    "Press ENTER to quit, r to restore: ",
    "Overwrite /home/threatstop/.ssh/authorized_keys with ThreatSTOP's key? [y/n] ",
    "Replace the vendor's SSH key? [y/n] ",
    # --- restarts
    "Reboot in 5 minutes? [y/n] ",
    "Abort and reboot? [y/n] ",
    "Reboot now and lose all changes? [y/n] ",
    "Reboot from network? [y/n] ",
    "Has the system been rebooted? [y/n] ",
    "Reboot the old TSCM? [y/n] ",
    "Reboot into rescue mode? [y/n] ",
    "Reboot all devices? [y/n] ",
    # --- other addresses
    "Change IP to 192.0.2.7? [y/n] ",
    "Set IP address to 10.1.1.50? [y/n] ",
    "Change 10.1.1.43 to 10.1.1.50? [y/n] ",
    "Continue using 10.1.1.50 as address? [y/n] ",
    "Is the current network configuration correct? [y/n] ",
    "Is the IP address of the old TSCM still in use? [y/n] ",
    "Keep DHCP? [y/n] ",
    "Archive : x\nAddress : 192.0.2.9/24 on eth0\nContinue with the restore? [y/N] ",
    # --- other archives
    "Selected: threatstop_backup_2020-01-01_00_00_00.tsbak\nAddress : 10.1.1.43\nContinue? [y/N] ",
    "Restore the latest backup? [y/n] ",
    # --- trouble
    "The source TSCM 10.1.1.43 is still online. Continue with restore? [y/n] ",
    "The old TSCM is still running.\nContinue with the restore? [y/n] ",
    "10.1.1.43 is in use by another host. Continue? [y/n] ",
    "Only 3 of 5 devices could be restored. Continue? [y/n] ",
    "Decryption failed.\nContinue with the restore? [y/n] ",
    # --- letters that nobody explains
    "Restore SSH [r/k]? ",
]


@pytest.mark.parametrize("text", TO_A_PERSON)
def test_what_may_mean_the_reverse_is_left_to_a_person(text: str) -> None:
    assert {answer(restoring(**wish), text) for wish in WISHES} == {None}


def test_a_reboot_is_not_put_off() -> None:
    assert answer(restoring(), "System must be restarted. Reboot later? [y/N] ") == "n"
    assert answer(restoring(), "A restart is needed. Restart now or later? [now/later]: ") == "now"
    assert answer(restoring(), "Reboot now to activate the new address? [y/n] ") == "y"


@pytest.mark.parametrize("text", ["Archive: ok\nChecksum OK, no errors.\nContinue with the restore? [y/n] "])
def test_the_absence_of_trouble_stops_nothing(text: str) -> None:
    assert answer(restoring(), text) == "y"


def test_names_in_a_list_without_numbers_are_not_another_archive() -> None:
    other = "threatstop_backup_2020-01-01_00_00_00.tsbak"
    assert answer(restoring(), f"{NAME}\n{other}\nFile name of the backup to restore: ") == NAME


@pytest.mark.parametrize(
    ("text", "encrypted", "plain"),
    [
        ("Turn encryption off? [y/n] ", "n", "y"),
        ("Do you agree to encrypt your backups? (yes/no) [yes] ", "yes", "no"),
        ("Do you agree to the terms and to encryption? (yes/no) ", None, None),
        ("Keep encryption on? [y/n] ", None, None),
        ("Keep the current encryption setting? [y/n] ", None, None),
        ("Reuse the encryption passphrase from last time? [y/n] ", None, None),
        ("Use weak passphrase anyway? [y/n] ", None, None),
        ("Encrypt or plain [e/p]? ", None, None),
        ("Do you mind if the backup is encrypted? [y/n] ", None, None),
    ],
)
def test_a_question_of_encryption_that_is_not_plain(text: str, encrypted: str | None, plain: str | None) -> None:
    assert answer(Table(backup_rules(encrypt=True), VALUES), text) == encrypted
    assert answer(Table(backup_rules(encrypt=False), VALUES), text) == plain


PLAIN = [
    ("restore_ssh", "Do you want to restore SSH configuration before continuing? [y/n] "),
    ("restore_ssh", "Replace current SSH host keys with the ones from the backup? [y/n] "),
    ("restore_cron", "Restore cron files? Only if you have modified the default schedule. [y/N] "),
    ("restore_cron", "Replace the current cron configuration with the backup's? [y/n] "),
    ("network", "Change this machine's IP address to the one in the backup (10.1.1.43)? [y/n] "),
    (
        "network",
        "The current IP address (10.1.1.50) is not the IP address in the backup. Update network settings? [y/n] ",
    ),
]


@pytest.mark.parametrize(("what", "text"), PLAIN)
@pytest.mark.parametrize("wish", WISHES)
def test_a_plain_question_with_a_word_of_time_or_advice_is_answered(
    what: str, text: str, wish: dict[str, bool]
) -> None:
    assert answer(restoring(**wish), text) == ("y" if wished(what, wish) else "n")


@pytest.mark.parametrize(
    "text",
    [
        "Found 2 existing devices. These will be overwritten if also in the backup. Continue with restore? y/n: ",
        "Existing device configurations will be overwritten without confirmation. Do you want to proceed? [y/N] ",
        "Warning: this TSCM already has devices installed (test-asa). Continue? [y/N] ",
        "Device test-asa already exists and will be overwritten. Proceed? (y/n) ",
        f"Restore {NAME}? (y/n): ",
        f"You are about to restore {NAME} taken on 2026-11-22 10:19:25 UTC. Continue? [y/n] ",
        "Ensure the TSCM the backup came from is offline. Continue? [y/n] ",
        "Network configuration was updated. Do you want to reboot the TSCM now? [y/n] ",
    ],
)
def test_what_is_told_before_a_confirmation_is_understood(text: str) -> None:
    assert {answer(restoring(**wish), text) for wish in WISHES} == {"y"}
