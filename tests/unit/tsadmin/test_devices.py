"""Success or failure of `tsadmin update`, from its exit status and its output; neither is documented."""

from __future__ import annotations

import pytest

from tscm_migrate.tsadmin.devices import judge


@pytest.mark.parametrize(
    ("status", "text", "ok", "busy"),
    [
        (0, "edge: 100%\nedge: in step\n", True, False),
        (0, "edge: connection reset, push aborted\n", False, False),
        (0, "edge: login denied\nedge: done\n", False, False),
        (0, "updated, 0 errors\n", True, False),
        (3, "edge: done\n", False, False),
        (75, "later\n", False, True),
        (1, "edge is busy\n", False, True),
        (1, "edge is being updated already, try again later\n", False, True),
        (None, "edge: 40%", False, False),
        (0, "[ERROR] : Device 'edge' not found\n", False, False),
        (0, "[FATAL] : no license\n", False, False),
        (0, "Can't locate TSCM/Asa.pm in @INC\n", False, False),
        (0, "[WARN ] : edge skipped: it has no policy\n", False, False),
        (0, "[INFO ] : Updating fatal-edge\n[INFO ] : invalid entries: 0\n", True, False),
    ],
)  # fmt: skip
def test_update_succeeds_only_by_status_and_output(
    status: int | None,
    text: str,
    ok: bool,  # noqa: FBT001
    busy: bool,  # noqa: FBT001
) -> None:
    updated = judge(status, text, "edge")
    assert (updated.ok, updated.busy) == (ok, busy)


def test_warnings_of_a_failed_update_are_kept_beside_its_main_message() -> None:
    updated = judge(0, "[WARN ] : clock\n[ERROR] : portal\n[FATAL] : no license\n", "edge")
    assert (updated.gist, updated.notices) == ("[FATAL] : no license", ("[WARN ] : clock", "[ERROR] : portal"))


def test_warning_of_a_successful_update_is_kept() -> None:
    updated = judge(0, "[WARN ] : allow list not found, using dns.threatstop.local\ncomplete\n", "edge")
    assert (updated.ok, updated.notices) == (True, ("[WARN ] : allow list not found, using dns.threatstop.local",))


def test_failure_is_reported_with_its_most_specific_line() -> None:
    assert judge(0, "edge: push aborted\nall is done\n").gist == "edge: push aborted"
    assert judge(2, "error 5: no route\nedge: gave up\n").gist == "edge: gave up"
