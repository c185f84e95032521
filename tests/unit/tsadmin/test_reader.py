"""The answers in one dialogue, which depend on the question, the lines above it, and the earlier answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.tsadmin.corpora import NAME
from tests.unit.tsadmin.support import SHIPPED, answer, reader, say, site
from tests.unit.tsadmin.test_corpora import ADDRESSES, DEVICES, LISTED
from tscm_migrate.ssh.terminal import ScreenBuffer
from tscm_migrate.tsadmin.reader import dialects

if TYPE_CHECKING:
    from pathlib import Path

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
def test_archive_number_is_not_sent_to_any_other_question(text: str) -> None:
    assert answer(reader(), text) is None


@pytest.mark.parametrize(
    "text", [f"{COLUMNS}> (1 - 3) [default 1] ", f"{COLUMNS}> ", f"{COLUMNS}Backup to restore (1 - 3) "]
)
def test_archive_is_selected_in_a_menu_with_columns(text: str) -> None:
    assert answer(reader(), text) == "2"


def test_rejected_archive_number_is_sent_once_more_only() -> None:
    one = reader()
    assert say(one, f"{LISTED}Enter backup number: ") == "1"
    assert say(one, "[ERROR] : Invalid selection\nEnter backup number: ") == "1"
    assert say(one, "[ERROR] : Invalid selection\nEnter backup number: ") is None
    menu = reader()
    assert say(menu, f"{COLUMNS}> (1 - 3) ") == "2"
    assert say(menu, "9 is an invalid choice.\n> ") == "2"
    assert say(reader(), "9 is an invalid choice.\n> ") is None


def test_archive_number_is_not_sent_after_the_list_was_answered() -> None:
    one = reader()
    assert say(one, f"{LISTED}Enter backup number: ") == "1"
    assert say(one, "Old devices will be removed.\nEnter backup number: ") is None
    assert say(one, "> ") is None


def test_list_without_the_archive_is_reported_and_not_answered() -> None:
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
def test_question_is_answered_only_if_all_its_text_is_known(text: str, expected: str | None) -> None:
    assert answer(reader(), text) == expected


@pytest.mark.parametrize("extra", ["[WARN ] : The portal will be reset\n", "All logs are deleted.\n", "reset\n"])
def test_bare_continue_is_answered_only_below_known_lines(extra: str) -> None:
    assert answer(reader(), f"{DEVICES}Continue[y/n]: ") == "y"
    assert answer(reader(), f"{extra}{DEVICES}Continue[y/n]: ") is None
    assert answer(reader(), f"{DEVICES}{extra}Continue[y/n]: ") is None
    assert answer(reader(), f"[INFO ] : Starting restore process\n{DEVICES}Continue[y/n]: ") == "y"
    assert answer(reader(), "Continue[y/n]: ") is None
    after = reader()
    assert say(after, f"{extra}Restore SSH configuration[y/n]: ") == "y"
    assert say(after, f"{DEVICES}Continue[y/n]: ") == "y", "what came before the last answer does not count"


def test_network_question_with_another_address_is_not_answered() -> None:
    assert answer(reader(), f"{ADDRESSES}Update network configuration[y/n]: ") == "y"
    assert answer(reader(address="10.1.1.44"), f"{ADDRESSES}Update network configuration[y/n]: ") is None
    found = reader().read(["Change IP to 10.9.9.9? [y/n] "])
    assert (found.answer, found.suggestion) == (None, None)


@pytest.mark.parametrize(("encrypt", "expected"), [(True, "y"), (False, "n")])
def test_encryption_is_turned_on_only_if_requested(encrypt: bool, expected: str) -> None:  # noqa: FBT001
    text = "Backups are not encrypted at the moment. Turn encryption on? (Y/n)"
    assert answer(reader("backup", encrypt=encrypt), text) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"{LISTED}Enter backup number: ", "IP Address: ", "Gateway: ", "Use DHCP[y/n]: ", "Apply settings[y/n]: ", "Host name: ",
        "Reboot now[y/n]: ", "A reboot is required.\nContinue? [y/n] ",
    ],
)  # fmt: skip
def test_backup_answers_no_question_of_a_restore(text: str) -> None:
    assert answer(reader(), text) is not None
    assert answer(reader("backup"), text) is None


def test_each_name_server_is_sent_once_and_then_an_empty_line() -> None:
    one = reader()
    assert say(one, "DNS Server: ") == "10.1.1.1"
    assert [say(one, f"Adding: DNS Server '10.1.1.{n}'\nDNS Server: ") for n in (1, 2)] == ["10.1.1.2", ""]


def test_rejected_answer_is_repeated_in_the_requested_spelling() -> None:
    one = reader()
    assert say(one, "Restore SSH configuration? (y or n) ") == "y"
    assert say(one, "Invalid yes or no response. Options are: y or n\nRestore SSH configuration? [default n] ") == "y"
    again = "Invalid yes or no response. Options are: y or n\nRestore SSH configuration? [default n] "
    assert [say(one, again) for _ in range(3)][-1] is None
    two = reader()
    assert say(two, "Skip SSH? ") == "n"
    assert say(two, "Please answer yes or no.\nPlease type 'yes' or 'no': ") == "no"
    assert say(reader(), "Please type 'yes' or 'no': ") is None


def test_host_name_is_typed_only_if_a_row_asks_for_it() -> None:
    text = "Type the name of this system (tscm-new) to confirm: "
    own = site('[[question]]\nkind = "confirm"\ntext = "Type the name of this system ({hostname}) to confirm"\n')
    assert answer(reader(), text) is None
    assert answer(reader("restore", own), text) == "tscm-new"


def test_site_dialect_has_priority_and_secrets_are_sent_to_their_rows_only() -> None:
    own = site(
        '[[question]]\nkind = "literal"\nanswer = "n"\ntext = "Use DHCP"\n'
        '[[question]]\nkind = "passphrase"\ntext = "Open sesame"\n'
    )
    one = reader("restore", own)
    assert (answer(one, "Use DHCP[y/n]: "), answer(one, "Open sesame: ")) == ("n", "pass phrase")
    found = one.read(["Open sesame: "])
    assert (found.secret, found.shown, "pass phrase" in repr(found)) == (True, "(secret)", False)
    assert one.read(["Open sesame now: "]).suggestion is None


def test_question_with_an_extra_word_has_a_suggestion_unless_the_word_changes_it() -> None:
    assert reader().read(["Restore vendor SSH configuration? [y/n] "]).suggestion == "y"
    assert reader().read(["Never restore SSH configuration? [y/n] "]).suggestion is None
    assert reader().read(["Restore other SSH configuration? [y/n] "]).suggestion is None


def test_lines_before_a_pager_prompt_belong_to_the_question() -> None:
    one = reader()
    assert say(one, f"{LISTED}--More--") == " "
    assert say(one, "Enter backup number: ") == "1"


def test_restore_in_progress_is_continued_only_if_this_run_started_it() -> None:
    text = "A restore is in progress (phase 2). Continue it? "
    assert (answer(reader(), text), answer(reader(continues=True), text)) == (None, "y")


def test_sudo_gets_its_password_at_each_call_until_it_refuses_it() -> None:
    one = reader()
    assert [say(one, "[sudo] Passwort für threatstop: ") for _ in range(12)] == ["sudo word"] * 12
    assert say(one, "Sorry, try again.\n[sudo] password for threatstop: ") is None


def test_unknown_question_is_named_without_the_lines_above_it_and_without_an_answer() -> None:
    found = reader().read(["A line.", "Format the disk? [y/n] ", ""])
    assert (found.question, found.answer, found.suggestion) == ("Format the disk? [y/n]", None, None)
    assert (found.why, found.bare) == ("no row knows this question", False)
    assert answer(reader(), "Restore SSH configuration[y/n]: \n") == "y"


def test_taught_dialect_replaces_only_the_one_of_the_same_name() -> None:
    one = reader()
    for text in ("Open the first door", "Open the second door"):
        one.teach(site(f'[[question]]\nkind = "ssh"\ntext = "{text}"\n'))
    texts = ("Open the first door? [y/n] ", "Open the second door? [y/n] ", "Restore Cron configuration[y/n]: ")
    assert [answer(one, text) for text in texts] == [None, "y", "n"]


def test_list_that_ends_directly_above_the_prompt_is_remembered() -> None:
    paged = reader()
    assert say(paged, f"1) {OTHER}\n2) {NAME}\n--More-- ") == " "
    assert say(paged, "Enter backup number: ") == "2"
    again = reader()
    assert say(again, f"1) {NAME}\nEnter backup number: ") == "1"
    refused = "[ERROR] : Invalid selection\nEnter backup number: "
    assert say(again, refused) == "1"
    third = again.read(refused.split("\n"))
    assert (third.answer, "already" in third.why or "twice" in third.why) == (None, True)


@pytest.mark.parametrize("between", ["", "Done.\n"])
def test_same_question_is_answered_twice(between: str) -> None:
    one, text = reader(), f"{between}Restore SSH configuration[y/n]: "
    assert [say(one, text) for _ in range(3)] == ["y", "y", None]
    assert one.read(text.split("\n")).why.endswith("it was answered already, and is asked again")


def test_questions_of_one_kind_are_answered_six_times() -> None:
    one = reader()
    texts = [
        "Restore SSH configuration[y/n]: ", "Restore SSH host keys? [y/n] ", "Do you want to restore the SSH host keys? [y/n] ",
        "Restore SSH? [y/n] ", "Restore the SSH configuration? [y/n] ", "Restore SSH keys? [y/n] ", "Restore SSH host keys[y/n]: ",
    ]  # fmt: skip
    assert [say(one, text) for text in texts] == ["y"] * 6 + [None]
    assert one.read(texts[-1:]).why.endswith("questions of kind ssh were answered too often already")


@pytest.mark.parametrize(
    ("text", "expected", "why"),
    [
        ("IP Address [y/n]: ", None, "a question of kind address has no such choice"),
        ("Gateway (1 - 3): ", None, "a question of kind gateway has no such choice"),
        ("Enter decryption passphrase [y/n]: ", None, "a question of kind passphrase has no such choice"),
        ("Enter decryption passphrase [default 1]: ", None, "'1' is not a default of a question of kind passphrase"),
        ("Gateway : [default eth0] ", None, "'eth0' is not a default of a question of kind gateway"),
        ("Gateway : [default 10.1.1.9] ", "10.1.1.1", "it is a question of kind gateway"),
        (f"1) {NAME}\nAnother line\n> ", None, "another line was shown below the list"),
        (f"1) {NAME}\n\n-----\n> ", "1", "it is a question of kind archive"),
        (f"1) {NAME}\nScanning done.\nEnter backup number: ", None, "no row knows the line above it: 'Scanning done.'"),
        (f"1) {NAME}\n1) full\n2) devices\nEnter backup number: ", None, "another menu was shown below the list"),
        (f"1) {NAME}\nq) quit\nEnter backup number: ", "1", "it is a question of kind archive"),
        (f"1) {NAME}\n2) quit\nEnter backup number: ", "1", "it is a question of kind archive"),
        (f"Unknown line\n1) {NAME}\n> ", None, "no row knows the line above it: 'Unknown line'"),
    ],
)
def test_value_is_typed_where_the_form_and_the_lines_above_fit(text: str, expected: str | None, why: str) -> None:
    found = reader().read(text.split("\n"))
    assert found.answer == expected
    assert found.why.endswith(why)


def test_question_without_a_known_value_is_not_answered() -> None:
    found = reader(gateway=None).read(["Gateway: "])
    assert (found.answer, "no value is known for a question of kind gateway" in found.why) == (None, True)


def test_answer_that_was_not_taught_is_not_sent() -> None:
    own = site('[[question]]\nkind = "ssh"\ntext = "SSH: restore or skip"\ndoes = "R"\n')
    found = [reader("restore", own, restore_ssh=wanted).read(["SSH: restore or skip: "]) for wanted in (True, False)]
    assert [one.answer for one in found] == ["R", None]
    assert found[1].why == "site: the other answer has not been taught"


def test_question_for_more_name_servers_is_confirmed_until_each_is_sent() -> None:
    one, more = reader(), "Add another DNS server? [y/n] "
    assert [say(one, text) for text in ("DNS Server: ", more, "DNS Server: ", more)] == [
        "10.1.1.1",
        "y",
        "10.1.1.2",
        "n",
    ]


def test_bare_choice_repeats_the_last_answer_only_after_a_refusal() -> None:
    no = reader()
    assert [say(no, "Skip SSH? "), say(no, "Please answer yes or no.\n[y/n] ")] == ["n", "n"]
    assert say(no, "Please answer yes or no.\n[y/n] ") is None
    yes = reader()
    assert say(yes, "Restore SSH configuration[y/n]: ") == "y"
    assert answer(yes, "Something else.\n(yes/no) ") is None
    assert say(yes, "Please answer yes or no.\n(yes/no) ") == "yes"


@pytest.mark.parametrize(
    ("text", "suggested"),
    [
        ("Restore the vendor SSH configuration? [y/n] ", "y"),
        ("Restore the big vendor SSH configuration? [y/n] ", "y"),
        ("Restore the very big vendor SSH configuration? [y/n] ", None),
        ("Really now restore SSH configuration? [y/n] ", "y"),
        ("Restore SSH configuration really now? [y/n] ", "y"),
        ("Never now restore SSH configuration really? [y/n] ", None),
        ("x\ny\nz\nw\nRestore vendor SSH\nconfiguration? [y/n] ", "y"),
        ("Restore vendor SSH configuration: ", None),
        ("[y/n] ", None),
        ("Change IP quickly to 10.1.1.43? [y/n] ", "y"),
        ("Change IP quickly to 10.9.9.9? [y/n] ", None),
    ],
)
def test_suggestion_leaves_out_one_or_two_words(text: str, suggested: str | None) -> None:
    found = reader().read(text.split("\n"))
    assert (found.answer, found.suggestion) == (None, suggested)
    assert reader().read(text.split("\n"), suggest=False).suggestion is None


def test_site_dialects_are_read_only_where_their_files_exist(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    assert dialects(None, file) == SHIPPED
    file.write_text('[[question]]\nkind = "ssh"\ntext = "Open the door"\n', encoding="utf-8")
    assert [one.name for one in dialects(None, file)] == ["site", *(one.name for one in SHIPPED)]


def test_question_that_shows_something_new_is_answered_as_often_as_its_kind_allows() -> None:
    one = reader()
    assert [say(one, "DNS Server: ") for _ in range(4)] == ["10.1.1.1", "10.1.1.2", "", ""]
    assert [say(one, f"{DEVICES}Continue[y/n]: ") for _ in range(5)] == [*["y"] * 4, None]
    lists = [f"{LISTED}{text}" for text in ("Enter backup number: ", "Select backup: ", "Which one? ")]
    assert [say(one, text) for text in lists] == ["1", "1", None]
    assert one.read(lists[-1].split("\n")).why.endswith("an archive was chosen twice, and it is asked for again")
    first = reader(dns=("10.1.1.1",))
    more = "Add another DNS server? [y/n] "
    assert [say(first, text) for text in (more, "DNS Server: ", more)] == ["y", "10.1.1.1", "n"]


@pytest.mark.parametrize(
    ("dialogue", "text", "expected", "why"),
    [
        ("backup", "File name: ", None, "no name is offered"),
        ("backup", "Backup file name [threatstop_backup_2026-11-22_10_19_25.tsbak]: ", "", "of kind offered-name"),
        ("backup", "File name [x]: ", None, "'x' is not a default of a question of kind offered-name"),
        ("restore", "Enter decryption passphrase [default 10.1.1.1]: ", None, "is not a default of a question of kind passphrase"),
        ("restore", "SSH host keys: (k)eep or (r)eplace [y/n] ", None, "its choice differs from that of the row"),
        ("restore", "Press Y to restore SSH host keys or N to skip it [y/n] ", "y", "of kind ssh"),
        ("restore", "Press Y to restore SSH host keys or N to skip it [yes/no] ", None, "its choice differs from that of the row"),
        ("restore", "This TSCM already never has devices setup:\nRestore SSH configuration[y/n]: ", None, "is a known line with another word: 'This TSCM already never has devices setup:'"),
        ("restore", "This TSCM already never has devices setup:\nOpen the door[y/n]: ", "y", "of kind ssh"),
        ("restore", f"Backups to compare:\n1) {NAME}\nEnter backup number: ", None, "the heading of the list has words that are not known: 'Backups to compare:'"),
        ("restore", "A reboot is required.\nThis TSCM already has devices setup:\nContinue? [y/n] ", None, "the lines above it have several subjects"),
        ("restore", "[INFO ] : Starting restore process\nContinue? [y/n] ", None, "no line above it shows its subject"),
        ("restore", "A reboot is required. Continue? [y/n] ", "y", "of kind reboot"),
    ],
)  # fmt: skip
def test_reason_of_an_answer_or_of_none_is_named(dialogue: str, text: str, expected: str | None, why: str) -> None:
    found = reader(dialogue, site('[[question]]\nkind = "ssh"\ntext = "Open the door"\n')).read(text.split("\n"))
    assert found.answer == expected
    assert expected is None or not found.bare
    assert found.why.endswith(why)


@pytest.mark.parametrize(
    "above",
    [
        "Key /root/.ssh/id_rsa is protected.", "[INFO ] : Loading the private key of device dc-pan", "Creating a new administrator account",
        "dc-pan (Palo Alto Networks)", "[INFO ] : Restoring 'Palo Alto Networks' device dc-pan", "Backup contains SSH host keys.", "Proxy settings",
        "Decrypting /root/portal.gpg", f"Decrypting {OTHER}", "Backup server nas01", "Encrypted database backup", "host: nas01", "10.1.1.9", "Wireless network",
        "Decrypting the archive\nCertificate of the portal", "Certificate of the portal\nDecrypting the archive", "A line.", "archive\u017f",
    ],
)  # fmt: skip
def test_passphrase_is_not_sent_below_a_line_that_may_name_another_secret(above: str) -> None:
    for question in (
        "Enter passphrase: ",
        "Passphrase: ",
        "GPG passphrase: ",
        "Enter GPG passphrase: ",
        "GPG password: ",
    ):
        found = reader().read([*above.split("\n"), question])
        assert (found.answer, found.suggestion, found.kind, found.bare) == (None, None, None, True)
    for question in ("New passphrase: ", "Retype passphrase: ", "Enter encryption passphrase: "):
        assert answer(reader("backup"), f"{above}\n{question}") is None


@pytest.mark.parametrize(
    "above",
    [
        "[INFO ] : Loading the private key of device dc-pan", "Certificate of the portal", "Unlocking /etc/vpn/client.p12", f"Decrypting {OTHER}.gpg",
        "[INFO ] : Credentials of dc-pan (Palo Alto Networks) are encrypted", "Connecting through the proxy",
    ],
)  # fmt: skip
def test_question_for_the_archives_passphrase_is_not_answered_below_a_line_that_names_another_secret(
    above: str,
) -> None:
    assert answer(reader(), f"{above}\nEnter decryption passphrase: ") is None
    found = reader().read([*above.split("\n"), "Enter the passphrase of the backup: "])
    assert (found.answer, found.kind, found.bare) == (None, None, True)
    assert "the line above it is about something else: " in found.why
    assert answer(reader(), f"[INFO ] : Reading the bundle\n{NAME}\nBackup passphrase: ") == "pass phrase"
    assert (
        answer(reader(), f"{DEVICES}[INFO ] : Working directory /tmp/ts.x1\nEnter decryption passphrase: ")
        == "pass phrase"
    )


@pytest.mark.parametrize(
    "above",
    [
        "", f"Decrypting {NAME}", f"[INFO ] : Decrypting backup /opt/threatstop/backup/{NAME} ...", "The archive is encrypted.", "Reading archive: 37%",
        "[####      ] 40%", "This backup is protected with a passphrase.", "gpg: AES256.CFB encrypted data\ngpg: encrypted with 1 passphrase",
        f"{LISTED}[INFO ] : Starting restore process", "The passphrase will not be shown.",
    ],
)  # fmt: skip
def test_passphrase_is_sent_below_lines_about_its_archive(above: str) -> None:
    lines = f"{above}\n" if above else ""
    assert answer(reader(), f"{lines}Enter passphrase: ") == "pass phrase"
    assert answer(reader(), f"{lines}Enter decryption passphrase: ") == "pass phrase"


def test_passphrase_is_sent_again_only_directly_after_the_same_question() -> None:
    one = reader()
    assert [say(one, text) for text in ("Enter passphrase: ", "Wrong passphrase\nEnter passphrase: ")] == [
        "pass phrase"
    ] * 2
    assert say(one, "Wrong passphrase\nEnter passphrase: ") is None
    other = reader()
    texts = ("Enter passphrase: ", "Restore SSH configuration[y/n]: ", "Enter passphrase: ")
    assert [say(other, text) for text in texts] == ["pass phrase", "y", None]
    new = reader("backup")
    assert [say(new, text) for text in ("New passphrase: ", "Retype passphrase: ")] == ["pass phrase"] * 2


@pytest.mark.parametrize(
    "text",
    [
        "Enter passphrase for key '/root/.ssh/id_rsa': ", "Enter passphrase for /root/portal.gpg: ", f"Passphrase for {OTHER}: ", "Password for proxy: ",
        "Password for 'https://proxy:3128': ", "Enter PIN: ", "root's password: ", "threatstop@10.1.1.9's password: ", "Passphrase of dc-pan: ", "New password: ",
        "Enter passphrase (empty for no passphrase): ", "Enter PEM pass phrase: ", "Enter Export Password: ", "Enter import password: ", "Verification code: ",
        "(current) UNIX password: ", "Please unlock disk sda2_crypt: ", "Vault password: ", "Enter passphrase for the database: ",
        "Restore SSH configuration[y/n]: Enter passphrase: ", "Enter passphrase for key 'x': \nEnter passphrase: ",
        "Key 'x' is protected.\n[INFO ] : Decrypting backup\nEnter passphrase: ", "Enter passphrase[y/n]: ",
    ],
)  # fmt: skip
def test_secret_is_not_sent_to_a_question_for_another_secret(text: str) -> None:
    assert (answer(reader(), text), answer(reader("backup"), text)) == (None, None)


@pytest.mark.parametrize(
    "heading",
    [
        "Backups to compare:", "Send to support:", "Recycle bin:", "Recycle bin:\n#  File  Size\n---", "[INFO ] : Upload one of these archives:", "Archives to verify",
        "Copy which archive?", "Backups that are to be encrypted again", "Rename a backup", "Which archive shall be the default of the schedule?",
        "Mark a backup as damaged", "Backups of the database", "Export to S3", "Backups (partial, unsigned):", "Delete a backup\n\nAvailable backups:", "Keep one of these:", "Backups not to restore:",
    ],
)  # fmt: skip
def test_number_of_the_archive_is_not_typed_below_a_list_for_something_else(heading: str) -> None:
    for question in ("Enter backup number: ", "Which one? ", "Number: ", "> ", "Select a backup: "):
        assert answer(reader(), f"{heading}\n1) {NAME}\n{question}") is None


@pytest.mark.parametrize(
    "heading",
    [
        "", "Available backups:", "[INFO ] : Found 2 archives in /opt/threatstop/backup", "The following backups were found:", "Backups on this TSCM (newest first):",
        "Please select the backup to restore", "Archives found on this system\n #  File  Size  Date\n----", "Restore points", "Which backup do you want to restore?",
        "Searching for backups ... done.", "Here are the backups that you can restore:", "Found 1 backup file(s):", "Stored configurations:", "=== Restore ===",
    ],
)  # fmt: skip
def test_number_of_the_archive_is_typed_below_a_list_of_backups(heading: str) -> None:
    assert answer(reader(), f"{heading}\n 1)  {NAME}  1234  Nov 27 12:22\nEnter backup number: ") == "1"


def test_heading_may_say_more_if_the_question_itself_is_about_the_restore() -> None:
    question = "Enter the number of the backup to restore: "
    assert answer(reader(), f"Send to support, or restore:\n1) {NAME}\n{question}") == "1"


@pytest.mark.parametrize(
    "above",
    [
        "Press y to skip, n to restore.", "(yes = keep, no = replace)", "y: skip\nn: restore", "Note: Y means skip.", "N restores it, any other key does not.",
        "Yes leaves it as it is.",
    ],
)  # fmt: skip
def test_line_that_says_what_yes_does_makes_the_question_unknown(above: str) -> None:
    for question in ("Restore SSH configuration[y/n]: ", "Restore Cron configuration? (y or n) [default n] "):
        found = reader().read([*above.split("\n"), question])
        assert (found.answer, found.suggestion, found.bare) == (None, None, True)
    for harmless in ("Please answer each question with yes or no.", "[INFO ] : No errors.", "Answer y or n."):
        assert answer(reader(), f"{harmless}\nRestore SSH configuration[y/n]: ") == "y"


@pytest.mark.parametrize(
    "text",
    [
        "Delete all logs? [y/n] \nRestore SSH configuration[y/n]: ", "Reset the firewall[y/n]: \nEnter decryption passphrase: ", "Format the disk (y or n)\nIP Address: ",
        "Delete all logs? [y/n] Restore SSH configuration[y/n]: ", f"Wipe it? [y/n]\n{LISTED}Enter backup number: ",
    ],
)  # fmt: skip
def test_of_two_questions_in_one_output_neither_is_answered(text: str) -> None:
    assert answer(reader(), text) is None


@pytest.mark.parametrize(
    "tag",
    [
        "INFO - ", "WARN  | ", "2026/11/27 12:00:00 WARN  ", "2026-11-27 12:00:00,123 WARN ", "12:00:00 INFO: ", "[12:00:00] ",
        "tsadmin[123]: WARN: ", "<warn> ", "2026-11-27T12:00:00+00:00 INFO ", "NOTE: ",
    ],
)  # fmt: skip
def test_log_tag_is_not_part_of_a_line(tag: str) -> None:
    lines = [tag + line.partition(": ")[2] if line.startswith("[") else line for line in DEVICES.splitlines()]
    assert answer(reader(), "\n".join([*lines, "Continue[y/n]: "])) == "y"


@pytest.mark.parametrize(
    "choice", ["(y/n, default n)", "[yes/no, default: no]", "[yes/no/cancel]", "[y/n/?]", "[y] or [n]"]
)
def test_spelling_of_a_choice_is_known(choice: str) -> None:
    assert answer(reader(), f"Restore SSH configuration? {choice}: ") in ("y", "yes")


@pytest.mark.parametrize(
    "above",
    [
        "Syslog server", "Device dc-pan", "dc-pan (Palo Alto Networks)", "NTP", "Interface eth1:", "Management interface of dc-pan", "Backup server", "Proxy settings",
        "[INFO ] : Restoring 'Palo Alto Networks' device dc-pan", "SNMP manager", "Network settings\nDNS forwarder", "DNS forwarder\nNetwork settings", "Second interface",
        "Network of 10.9.9.9", "Guest network", "Backup contains SSH host keys.",
    ],
)  # fmt: skip
def test_network_value_is_not_typed_below_a_line_that_may_be_about_another_system(above: str) -> None:
    for question in (
        "IP Address: ",
        "Subnet Mask: ",
        "Gateway: ",
        "DNS Server: ",
        "Use DHCP[y/n]: ",
        "Host name: ",
        "Network interface: ",
    ):
        found = reader().read([*above.split("\n"), question])
        assert (found.answer, found.bare) == (None, True), question


@pytest.mark.parametrize(
    "above",
    [
        "Network settings", "[Backing up current configuration]\nusing STATIC template", "Configuring eth0", "[INFO ] : Restoring the network settings from the backup",
        "Please enter the new network settings of this system:", "Backing up /etc/network/interfaces", "Your current IP: 10.1.1.50", "Address 10.1.1.43 is static",
        f"{ADDRESSES}[INFO ] : Checking network configuration", "IP Address detected: 10.1.1.50\nInterface Address Method: STATIC",
        "=== Network Setup Wizard ===", "Let's set up the network.", "Please provide the following information.", "You will now be asked for the network settings:",
        "Press Enter to accept the default shown in brackets.", "Please enter IP address, netmask and gateway of this machine", "IPv4 configuration", "Step 1: addressing",
    ],
)  # fmt: skip
def test_network_value_is_typed_below_lines_about_the_network_settings(above: str) -> None:
    given = [
        answer(reader(), f"{above}\n{question}")
        for question in ("IP Address: ", "Gateway: ", "Use DHCP[y/n]: ", "DNS Server: ")
    ]
    assert given == ["10.1.1.43", "10.1.1.1", "n", "10.1.1.1"]


def test_words_of_one_value_are_known_only_above_that_value() -> None:
    lines = ("DNS servers (leave empty to finish)", "Default gateway of eth0", "Subnet mask in dotted notation")
    given = [
        answer(reader(), f"{line}\n{value}")
        for line, value in zip(lines, ("DNS Server: ", "Gateway: ", "Subnet Mask: "), strict=True)
    ]
    assert given == ["10.1.1.1", "10.1.1.1", "255.255.255.0"]
    assert {answer(reader(), f"{line}\nIP Address: ") for line in lines} == {None}


@pytest.mark.parametrize(
    ("dialogue", "above", "questions"),
    [
        ("restore", "Delete from this system:", ("ssh config (y/n)?:", "cron config (y/n)?:", "Enter the backup file name: ")),
        ("restore", "Send to support", ("ssh config (y/n)?:", "Enter the backup file name: ")),
        ("backup", "Passwords of the devices", ("Encrypt them? [y/n] ", "Turn encryption on? [y/n] ", "Disable encryption? [y/n] ", "Encryption [on/off]: ")),
    ],
)  # fmt: skip
def test_question_without_a_verb_or_an_object_is_not_answered_below_an_unknown_line(
    dialogue: str, above: str, questions: tuple[str, ...]
) -> None:
    assert None not in [answer(reader(dialogue), question) for question in questions]
    assert {answer(reader(dialogue), f"{above}\n{question}") for question in questions} == {None}


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"Syslog server\r\n[###    ] 40%\r\x1b[K[#######] 100%\r\nIP Address: ", None),
        (b"\x1b[1mKey x is protected.\x1b[0m\r\n\x1b[2J\x1b[HEnter passphrase: ", None),
        (b"Key x is protected.\r\n\x1b[1A\x1b[2KEnter passphrase: ", None),
        (b"Key x is protected.\x1b[2J\x1b[HEnter passphrase: ", None),
        (b"Key x\r\n\r\n\x1b[32m------\x1b[0m\r\n\r\nEnter passphrase: ", None),
        (b"Restore SSH configuration[y/n]: \rDelete all logs[y/n]: ", None),
        (b"Delete all logs[y/n]: \r\nRestore SSH configuration[y/n]: ", None),
        (b"Syslog\xe2\x80\x8b server\r\nGateway: ", None),
        (b"Reading the archive  10%\rReading the archive 100%\r\nEnter passphrase: ", "pass phrase"),
        (b"\x1b[1mNetwork settings\x1b[0m\r\n\x1b[1mIP Address: \x1b[0m", "10.1.1.43"),
    ],
)  # fmt: skip
def test_what_a_terminal_shows_above_a_question_counts(output: bytes, expected: str | None) -> None:
    screen = ScreenBuffer()
    screen.feed(output)
    assert reader().read([*screen.lines, screen.line]).answer == expected
