"""The lines that tsadmin prints: which mean failure, which are shown, and which are ignored."""

from __future__ import annotations

import pytest

from tscm_migrate.tsadmin import output

FAILURES = (
    "[FATAL] : Restore aborted",
    "[FATAL]: disk full",
    "FATAL - no license",
    "2026-11-26 22:10:00 tsclient tsadmin FATAL cannot start",
    "[CRITICAL] key store is gone",
    "<crit> key store is gone",
    "tsadmin: fatal: no license",
    "Device edge-asa does not exist",
    "[INFO ] : /opt/threatstop/etc/edge.conf does not exist",
    "The backup file doesn't exist.",
    "[WARN ] : block list is invalid",
    "Invalid device name",
    "Invalid option: --gpg_passphrase_file",
    'Can\'t call method "get" on an undefined value at /usr/local/bin/tsadmin line 212.',
    "Use of uninitialized value $n in concatenation (.) or string at (eval 7) line 3, <STDIN> line 2.",
    "Died at /usr/share/perl5/TSCM/Core.pm line 9.",
    "Can't locate TSCM/Pan.pm in @INC (you may need to install the TSCM::Pan module)",
    "Traceback (most recent call last):",
    "ValueError: bad policy",
    "Segmentation fault (core dumped)",
    "Killed",
    "tar: short read: unexpected end of file",
    "tar: Unexpected EOF in archive",
    "*** buffer overflow detected ***: terminated",
    "write: No space left on device",
    "Usage: tsadmin [add|backup|configure|restore]",
    "[ERROR] : Unknown command 'update'",
)
TROUBLES = (
    "[ERROR] : connection to the device was closed",
    "[ERR] : portal",
    "ERROR: portal",
    "error - portal",
    "Device asa02: failed",
    "There were 2 issues; no errors",
    "could not write policy.dat",
    "couldn't log in",
    "Can't log in to the device",
    "quay-07: connection reset, push aborted",
    "edge: login denied",
    "10.9.8.7 is unreachable",
    "policy was not applied",
    "3 errors, 0 warnings",
    "100 errors",
    "edge [FAILED]",
    "[ERROR] : Device 'edge-asa' not found",
    "sh: 1: ts-push: not found",
    "bash: ts-push: command not found",
    "cp: cannot stat '/etc/cron.d/*': No such file or directory",
    "Exiting with code 1",
    "exit status 2",
    "Return code: 1",
    "Nothing was restored",
    "no devices were restored",
    "0 of 3 devices restored",
    "0 devices restored",
    "Only 2 of 3 devices restored",
    "Rolling back changes",
    "Restore cancelled",
    "chown: operation not permitted",
    "checksum mismatch",
    "signature is BAD",
    "the license has expired",
    "Unsupported archive format",
    "archive format 5 is newer than this TSCM knows",
    "sudo: a password is required",
    "failed: 1, restored: 2",
)
NOTICES = (
    "[WARN ] : Existing device configurations will be overwritten",
    "[WARN ] : nothing was skipped",
    "[WARNING] clock",
    "WARNING: clock",
    "gpg: WARNING: unsafe ownership on homedir",
    "warning - clock",
    "2026-11-26 22:10:00,123 WARN tsadmin clock",
    "W: clock",
    "*** Warning! clock ***",
    "Restore: Completed with warnings",
    "Completed with 2 warnings, 0 errors",
    "finished with exceptions",
    "Skipping dc-pan",
    "2 of 5 policies were skipped",
    "the log files were left out",
    "leaving the log files out",
    "allow list: missing, filled in with dns.threatstop.local",
    "block list not found, using basic.threatstop.local",
    "gateway: default used",
    "falling back to DHCP",
    "ignoring unreadable entries",
    "SSH configuration is not in the backup",
    "tar: ts-update.log: file changed as we read it",
    "Folder reports does not exist, creating it",
)
NOTHING = (
    "[INFO ] : Starting restore process",
    "[INFO ] : Restoring 'Palo Alto Networks' device dc-pan",
    "[INFO ] : Restoring 'Cisco ASA' device fatal-1",
    "[INFO ] : Restoring 'Cisco ASA' device invalid.example",
    "[INFO ] : Reading /opt/threatstop/etc/invalid/warning.conf",
    "[INFO ] : Update of error_7 complete",
    "using STATIC template",
    "The IP address: 10.1.1.50 will disappear on next reboot",
    "[ ok ] Restarting networking (via systemctl): networking.service.",
    "Success: Network setup complete.",
    "** All is done, there were 0 errors and no issues.",
    "The restoration was completed without errors.",
    "Completed without warnings",
    "Errors: 0",
    "failed: 0, restored: 3",
    "Restored 3 of 3 devices",
    "3 of 3 devices restored",
    "A reboot is required",
    "Standby takes over where the primary fails over",
    "exit status 0",
    "Errors: 0, warnings: none",
    "errors=0 warnings=0 skipped=0",
    "invalid entries: 0",
    "invalid: none",
    "0 invalid entries",
    "no invalid entries found",
    "0 of 3 devices failed, 0% failed",
    "No device failed.",
    "nothing was aborted, no device was rejected",
    "Aborted: 0, refused: none",
    "The archive is not invalid",
    "Nothing was skipped or left out",
    "Creates the folder if it does not exist",
)


@pytest.mark.parametrize("line", FAILURES)
def test_failure_line_is_reported_as_failure(line: str) -> None:
    found = output.read(f"[INFO ] : begin\n{line}\n[INFO ] : end\n")
    assert (found.failures, found.troubles, found.lines, found.gist) == ((line,), (line,), (line,), line)


@pytest.mark.parametrize("line", TROUBLES)
def test_error_line_is_shown_and_is_not_a_failure(line: str) -> None:
    found = output.read(f"{line}\ndone\n")
    assert (found.failures, found.troubles, found.lines) == ((), (line,), (line,))


@pytest.mark.parametrize("line", NOTICES)
def test_warning_and_skipped_or_default_value_are_shown(line: str) -> None:
    found = output.read(f"{line}\ndone\n")
    assert (found.failures, found.troubles, found.lines) == ((), (), (line,))


@pytest.mark.parametrize("line", NOTHING)
def test_line_that_reports_no_problem_is_not_shown(line: str) -> None:
    assert output.read(f"{line}\n").lines == ()


def test_device_name_is_not_read_as_a_problem() -> None:
    text = "[INFO ] : Restoring 'Cisco ASA' device invalid\n[INFO ] : Update of fatal complete\nwarning: done\n"
    assert output.read(text, names=("invalid", "fatal", "warning")).lines == ()
    assert len(output.read(text).lines) == 3


def test_rejected_answer_is_not_a_failure_if_the_program_continued() -> None:
    asked = "Enter backup number: 9\n[ERROR] : Invalid selection\n"
    assert output.read(f"{asked}Enter backup number: 1\n[INFO ] : Restore complete\n").failures == ()
    assert output.read(asked).failures == ("[ERROR] : Invalid selection",)
    again = "Continue? (y or n) [default n] maybe\nInvalid yes or no response. Options are: y or n\nContinue? y\ndone\n"
    assert output.read(again).failures == ()


def test_answered_question_is_not_read_as_output() -> None:
    question = "Are invalid entries to be skipped[y/n]: "
    assert output.read(f"{question}n\nRestore complete\n", questions=(question,)).lines == ()


def test_colours_are_ignored_and_the_number_of_warnings_is_limited() -> None:
    assert output.read("\x1b[31m[FATAL]\x1b[0m : stop\n").failures == ("[FATAL] : stop",)
    flood = output.read("".join(f"[WARN ] : entry {number}\n" for number in range(5000)))
    assert (len(flood.lines), flood.lines[-1]) == (201, "(4800 more lines of this kind are not shown)")


def test_skipped_device_is_named() -> None:
    said = output.read("[WARN ] : Skipping edge-asa\n[INFO ] : edge done\n")
    assert output.leaves_out(said, "edge-asa") == "[WARN ] : Skipping edge-asa"
    assert output.leaves_out(said, "edge") == ""


@pytest.mark.parametrize(
    ("line", "restarts"),
    [
        ("[INFO ] : Rebooting", True),
        ("The system is going down for reboot NOW!", True),
        ("[INFO ] : The appliance will now restart.", True),
        ("system will be rebooted in 3 s", True),
        ("[INFO ] : Not rebooting", False),
        ("Restore complete without rebooting", False),
        ("Changes take effect after rebooting", False),
        ("[INFO ] : Please reboot and start the restore process again", False),
        ("[ ok ] Restarting networking (via systemctl): networking.service.", False),
        ("The service will restart", False),
    ],
)
def test_a_line_that_announces_a_restart_is_recognised(line: str, *, restarts: bool) -> None:
    assert output.announces_restart(f"[INFO ] : Restore complete\n{line}\n") is restarts
