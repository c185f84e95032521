"""One dialogue: which lines are the question, what stands above it, what was answered before."""

from __future__ import annotations

import pytest

from tests.unit.tsadmin.corpora import NAME
from tests.unit.tsadmin.support import answer, reader, say, site
from tests.unit.tsadmin.test_measures import ADDRESSES, DEVICES, LISTED

OTHER = "threatstop_backup_2026-11-21_01_00_00.tsbak"
COLUMNS = f"Available backups\n-----------------\n1) {OTHER}     2) {NAME} \n3) threatstop_backup_2026-11-20_01_00_00.tsbak      \n\n"
RESTART = "Network settings saved. They need a restart of the system to take effect.\n1) Restart the system now\n2) Return to the shell\n"


@pytest.mark.parametrize(
    "text",
    [
        f"{RESTART}#? ", f"{LISTED}{RESTART}#? ", f"{LISTED}1) Restart the system now\n2) Return to the shell\n#? ",
        f"{LISTED}Type the name of this system (tscm-new) to confirm: ", f"{LISTED}Select restore mode (1-3): ",
        f"{LISTED}Restore type: ", f"{LISTED}Restore from:\n1) disk\n2) cloud\nEnter number: ", f"{LISTED}Restore mode\n1) full\n2) devices\nNumber: ",
        f"{LISTED}Which device?\n1) dc-pan\nWhich one? ", f"{LISTED}Enter backup number to delete: ", f"Backups that will be removed:\n1) {NAME}\nEnter backup number: ",
        f"Keep one of\n\n1) {NAME}\nWhich one? ", f"Delete which backup?\n1) {NAME}\n> ",
        f"1) Delete {NAME}\n2) Delete {OTHER}\n#? ", "> ", "#? ", "Enter backup number: ", "Enter backup number [default 1] ",
    ],
)  # fmt: skip
def test_an_archives_number_goes_to_no_other_question(text: str) -> None:
    assert answer(reader(), text) is None


@pytest.mark.parametrize(
    "text", [f"{COLUMNS}> (1 - 3) [default 1] ", f"{COLUMNS}> ", f"{COLUMNS}Backup to restore (1 - 3) "]
)
def test_a_menu_in_columns_is_chosen_from(text: str) -> None:
    assert answer(reader(), text) == "2"


def test_a_number_that_was_not_taken_is_given_once_more_and_no_oftener() -> None:
    one = reader()
    assert say(one, f"{LISTED}Enter backup number: ") == "1"
    assert say(one, "[ERROR] : Invalid selection\nEnter backup number: ") == "1"
    assert say(one, "[ERROR] : Invalid selection\nEnter backup number: ") is None
    menu = reader()
    assert say(menu, f"{COLUMNS}> (1 - 3) ") == "2"
    assert say(menu, "9 is an invalid choice.\n> ") == "2"
    assert say(reader(), "9 is an invalid choice.\n> ") is None


def test_a_number_is_not_given_to_what_comes_after_the_list() -> None:
    one = reader()
    assert say(one, f"{LISTED}Enter backup number: ") == "1"
    assert say(one, "Old devices will be removed.\nEnter backup number: ") is None
    assert say(one, "> ") is None


def test_a_list_without_the_archive_is_named_and_not_chosen_from() -> None:
    found = reader().read(f"1) {OTHER}\nEnter backup number: ".split("\n"))
    assert (found.answer, found.not_listed) == (None, f"{NAME} is not in the list that its restore shows")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Restore SSH\n\tconfiguration? (y or\n\tn) [default n] ", "y"),
        ("Restore Cron configuration? (y or n) [default\n\tn] ", "n"),
        ("Restore SSH configuration? [n/y] ", "y"),
        ("Restore SSH configuration? (Y/n/a) ", None),
        ("Restore SSH configuration? [y/n/maybe] ", None),
        ("Restore SSH configuration", None),
        ("Restore SSH configuration? Restore Cron configuration? [y/n] ", None),
        ("Restore SSH configuration[y/n]: Restore Cron configuration[y/n]: ", None),
        ("Restore\u00a0SSH configuration? [y/n] ", None),
        ("Re\u017ftore SSH configuration? [y/n] ", None),
        ("Do not restore SSH configuration? [y/n] ", None),
        ("Delete the logs and\nrestore the SSH configuration? [y/n] ", None),
        ("Delete the logs before we\nRestore SSH configuration[y/n]: ", None),
        ("[INFO ] : Extracting 12 files\nRestore SSH configuration[y/n]: ", "y"),
        ("Block list name : [default restore ssh configuration]", None),
        ("Block list name : [default ssh]", None),
        ("IP Address : [default 10.1.1.50] ", "10.1.1.43"),
        ("IP Address : [default ssh] ", None),
        ("Configuring 'Palo Alto Networks'. Continue? (y or n) [default y] ", "y"),
        ("Configuring 'Some Other Networks'. Continue? (y or n) [default y] ", None),
        ("Password: ", None),
        ("[sudo] password for threatstop: ", "sudo word"),
        ("[WARN ] : Restore\n\tSSH configuration?\n\t(y or n) [default n] ", "y"),
        ("Delete\n\tSSH: [restore/skip] ", None),
        ("Restore SSH configuration? [ Y / n ] ", "y"),
        ("Restore SSH configuration <y/n>: ", "y"),
        ("Restore SSH configuration? [default=n] ", "y"),
        ("2026/11/22 10:19:25 [INFO ] : Restore SSH configuration? [y/n] ", "y"),
        ("[2026-11-22 10:19:25] [INFO ] : Restore SSH configuration? [y/n] ", "y"),
        ("Restore SSH configuration [all] [y/n] ", None),
        ("Restore SSH configuration? [y/n] (3) ", None),
        ("Restore SSH configuration? [y/n] [never] ", None),
        ('Do you want to "never"\nrestore the SSH host keys? (yes/no) ', None),
        ("Shall we (never)\nrestore the SSH host keys? (yes/no) ", None),
        ("DO YOU WANT TO never\nRESTORE THE CRON CONFIGURATION? [Y/N] ", None),
        ("Restore SSH configuration? [y/n] [YES] ", "y"),
        ("SSH keys: [R]estore or [S]kip (y/n) ", None),
        ("A reboot is required.\nReboot (n)ow or (l)ater [y/n] ", None),
        ("Type 'yes' to restore cron files (yes/no) ", "no"),
        ("Change this machine's IP address to the one in the backup (10.1.1.43)? [y/n] ", "y"),
        ("Change this machine's IP address to the one in the backup (10.9.9.9)? [y/n] ", None),
        ("Use DHCP for eth0? [y/n] ", "n"),
        ("Use DHCP for firewall? [y/n] ", None),
        ("Reconfigure portal with 10.1.1.43/24? [y/n] ", None),
        ("IPv4 address of portal: ", None),
        ("Overwrite them? [y/n] ", None),
        ("Backup contains SSH host keys.\nOverwrite them? [y/n] ", None),
        (f"{DEVICES}Overwrite them? [y/n] ", "y"),
        ("Backup contains SSH host keys.\nApply settings[y/n]: ", None),
        ("The backup has a cron schedule.\nReboot now[y/n]: ", None),
        ("The backup has a cron schedule.\nPress Enter to continue", None),
    ],
)
def test_a_question_is_read_whole(text: str, expected: str | None) -> None:
    assert answer(reader(), text) == expected


@pytest.mark.parametrize("extra", ["[WARN ] : The portal will be reset\n", "All logs are deleted.\n", "reset\n"])
def test_a_bare_continue_needs_known_facts_and_nothing_else_above_it(extra: str) -> None:
    assert answer(reader(), f"{DEVICES}Continue[y/n]: ") == "y"
    assert answer(reader(), f"{extra}{DEVICES}Continue[y/n]: ") is None
    assert answer(reader(), f"{DEVICES}{extra}Continue[y/n]: ") is None
    assert answer(reader(), f"[INFO ] : Starting restore process\n{DEVICES}Continue[y/n]: ") == "y"
    assert answer(reader(), "Continue[y/n]: ") is None
    after = reader()
    assert say(after, f"{extra}Restore SSH configuration[y/n]: ") == "y"
    assert say(after, f"{DEVICES}Continue[y/n]: ") == "y", "what came before the last answer does not count"


def test_an_address_that_is_not_ours_makes_it_another_question() -> None:
    assert answer(reader(), f"{ADDRESSES}Update network configuration[y/n]: ") == "y"
    assert answer(reader(address="10.1.1.44"), f"{ADDRESSES}Update network configuration[y/n]: ") is None
    found = reader().read(["Change IP to 10.9.9.9? [y/n] "])
    assert (found.answer, found.suggestion) == (None, None)


@pytest.mark.parametrize(("encrypt", "expected"), [(True, "y"), (False, "n")])
def test_encryption_that_is_off_is_turned_on_only_where_it_is_wanted(encrypt: bool, expected: str) -> None:  # noqa: FBT001
    text = "Backups are not encrypted at the moment. Turn encryption on? (Y/n)"
    assert answer(reader("backup", encrypt=encrypt), text) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"{LISTED}Enter backup number: ", "IP Address: ", "Gateway: ", "Use DHCP[y/n]: ", "Apply settings[y/n]: ", "Host name: ",
        "Reboot now[y/n]: ", "A reboot is required.\nContinue? [y/n] ",
    ],
)  # fmt: skip
def test_a_backup_is_asked_nothing_about_archives_network_and_restarts(text: str) -> None:
    assert answer(reader(), text) is not None
    assert answer(reader("backup"), text) is None


def test_every_name_server_is_given_once_and_then_none() -> None:
    one = reader()
    assert say(one, "DNS Server: ") == "10.1.1.1"
    assert [say(one, f"Adding: DNS Server '10.1.1.{n}'\nDNS Server: ") for n in (1, 2)] == ["10.1.1.2", ""]


def test_an_answer_that_was_not_taken_is_spelled_as_is_asked() -> None:
    one = reader()
    assert say(one, "Restore SSH configuration? (y or n) ") == "y"
    assert say(one, "Invalid yes or no response. Options are: y or n\nRestore SSH configuration? [default n] ") == "y"
    again = "Invalid yes or no response. Options are: y or n\nRestore SSH configuration? [default n] "
    assert [say(one, again) for _ in range(3)][-1] is None
    two = reader()
    assert say(two, "Skip SSH? ") == "n"
    assert say(two, "Please answer yes or no.\nPlease type 'yes' or 'no': ") == "no"
    assert say(reader(), "Please type 'yes' or 'no': ") is None


def test_a_name_is_typed_only_where_a_row_says_so() -> None:
    text = "Type the name of this system (tscm-new) to confirm: "
    own = site('[[question]]\nkind = "confirm"\ntext = "Type the name of this system ({hostname}) to confirm"\n')
    assert answer(reader(), text) is None
    assert answer(reader("restore", own), text) == "tscm-new"


def test_a_site_goes_before_what_is_shipped_and_a_secret_has_its_rows_only() -> None:
    own = site(
        '[[question]]\nkind = "literal"\nanswer = "n"\ntext = "Use DHCP"\n'
        '[[question]]\nkind = "passphrase"\ntext = "Open sesame"\n'
    )
    one = reader("restore", own)
    assert (answer(one, "Use DHCP[y/n]: "), answer(one, "Open sesame: ")) == ("n", "pass phrase")
    found = one.read(["Open sesame: "])
    assert (found.secret, found.shown, "pass phrase" in repr(found)) == (True, "(secret)", False)
    assert one.read(["Open sesame now: "]).suggestion is None


def test_a_suggestion_is_for_a_question_with_a_word_too_many_but_none_that_turns_it() -> None:
    assert reader().read(["Restore vendor SSH configuration? [y/n] "]).suggestion == "y"
    assert reader().read(["Never restore SSH configuration? [y/n] "]).suggestion is None
    assert reader().read(["Restore other SSH configuration? [y/n] "]).suggestion is None


def test_what_a_pager_stopped_still_belongs_to_the_question() -> None:
    one = reader()
    assert say(one, f"{LISTED}--More--") == " "
    assert say(one, "Enter backup number: ") == "1"


def test_a_restore_under_way_is_continued_only_where_it_is_ours() -> None:
    text = "A restore is in progress (phase 2). Continue it? "
    assert (answer(reader(), text), answer(reader(continues=True), text)) == (None, "y")


def test_sudo_may_ask_for_each_of_its_calls_but_not_again_for_a_password_that_it_refused() -> None:
    one = reader()
    assert [say(one, "[sudo] Passwort für threatstop: ") for _ in range(12)] == ["sudo word"] * 12
    assert say(one, "Sorry, try again.\n[sudo] password for threatstop: ") is None
