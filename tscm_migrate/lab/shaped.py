"""Rehearsal appliances in the shape of real ones: devices, sizes, versions, interface, operating system. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tscm_migrate.lab.profile import Device, Profile, new_profile, old_profile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tscm_migrate.appliance.facts import Facts

MOST = 256 << 20  # bytes of log that a rehearsal makes; what a real one has beyond that is left out, and said


def profiles(old: Facts, new: Facts, *, update_seconds: float = 0.3) -> tuple[Profile, Profile, list[str]]:
    """Two profiles after the facts of two appliances.

    Args:
        old: of the one that is migrated.
        new: of the one that takes over.
        update_seconds: how long a device's update takes, which no fact tells.

    Returns:
        Both, and what the rehearsal cannot know or leaves out, as lines. Addresses are the lab's own.
    """
    left = [f"a device's update is taken to last {update_seconds:g} s: nothing tells how long yours take"]
    if old.log_size > MOST:
        left.append(f"{old.log_size / 1e6:.0f} MB of logs are rehearsed with {MOST / 1e6:.0f} MB")
    if old.devices is None:
        left.append("which devices there are is not known; none are rehearsed")
    names: Sequence[str] = old.devices or ()
    each = max(512, min(1 << 20, old.etc_size // max(1, len(names))))
    devices = tuple(Device(name, size_bytes=each, update_seconds=update_seconds) for name in names)
    links = any("latest" in link for link in old.links)
    encrypted = any(archive.encrypted for archive in old.archives)
    first = {**common(old), "devices": devices, "log_bytes": max(1, min(MOST, old.log_size)), "archives": int(links)}
    if encrypted:
        left.append("backups are encrypted with a passphrase made up for the rehearsal")
    return old_profile(**first), new_profile(**common(new)), left


def common(facts: Facts) -> dict[str, Any]:
    """What both profiles take from an appliance's facts; the labs have addresses of their own."""
    interface = next((one for one in facts.interfaces if ":" not in one.address), None)
    shape: dict[str, Any] = {"list_command": facts.device_source != "files in its etc folder"}
    if interface is not None:
        shape["interface"] = interface.name
    said = (
        ("hostname", facts.hostname), ("os_id", facts.os_id), ("os_version", facts.os_version),
        ("os_name", facts.os_pretty), ("core_version", facts.core),
    )  # fmt: skip
    return shape | {field: value for field, value in said if value}
