"""Compare the new appliance with the old, from their facts. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tscm_migrate.appliance import device_discovery
from tscm_migrate.appliance.facts import Facts
from tscm_migrate.migration import checks
from tscm_migrate.options import MigrateOptions
from tscm_migrate.util.text import listed


@dataclass(frozen=True)
class ParityRow:
    """One comparison; `was` and `has` as short texts."""

    name: str
    same: bool
    was: str
    has: str

    def text(self) -> str:
        """Return the result as text, without its name."""
        return self.has if self.same else f"was {self.was}, is {self.has}"


@dataclass(frozen=True)
class Before:
    """Facts taken before anything was changed; `files`: path below the etc folder → SHA-256."""

    old: Facts
    new: Facts
    files: Mapping[str, str]


@dataclass(frozen=True)
class After:
    """The new appliance now."""

    new: Facts
    files: Mapping[str, str]


def compare(
    before: Before, after: After, options: MigrateOptions, *, restores_network: bool, new_key: str
) -> list[ParityRow]:
    """Return a row for each comparison that is possible; unknown values are left out.

    `new_key` is the fingerprint of the host key that the new appliance shows to a new connection.
    """
    return [*_devices(before, after), *_address(before, after, restores_network=restores_network),
            *_keys(before, after, options, new_key), *_system(before, after)]  # fmt: skip


def _devices(before: Before, after: After) -> Iterator[ParityRow]:
    if before.old.devices is not None and after.new.devices is not None:
        was, has = set(before.old.devices), set(after.new.devices)
        missing = sorted(was - has)
        yield ParityRow(
            "devices",
            not missing,
            f"{len(was)}",
            f"{len(has)}" + (f", without {', '.join(missing)}" if missing else ""),
        )
    if before.files:
        wrong = sorted(path for path, digest in before.files.items() if after.files.get(path) != digest)
        result = f"{len(wrong)} missing or different: {listed(wrong)}" if wrong else f"{len(before.files)} the same"
        yield ParityRow("device files", not wrong, f"{len(before.files)} files", result)


def _address(before: Before, after: After, *, restores_network: bool) -> Iterator[ParityRow]:
    source = before.old if restores_network else before.new
    was = {i.address for i in source.interfaces if ":" not in i.address}
    has = {i.address for i in after.new.interfaces if ":" not in i.address}
    if was and has:
        yield ParityRow("address", was <= has, ", ".join(sorted(was)), ", ".join(sorted(has)))


def _keys(before: Before, after: After, options: MigrateOptions, new_key: str) -> Iterator[ParityRow]:
    source = before.old if options.restore_ssh else before.new
    whose = "the old appliance's" if options.restore_ssh else "its own"
    was, has = {print_ for _, print_ in source.host_keys}, {print_ for _, print_ in after.new.host_keys}
    if was:
        yield ParityRow("host keys", was == has, whose, whose if was == has else "others")
        yield ParityRow("host key shown", new_key in was, whose, whose if new_key in was else new_key)


def _system(before: Before, after: After) -> Iterator[ParityRow]:
    yield ParityRow(
        "updates' cron entry", after.new.cron_entry, "in place", "in place" if after.new.cron_entry else "missing"
    )
    yield ParityRow("TSCM-Core", after.new.core == before.new.core, before.new.core, after.new.core)
    if before.old.versions and after.new.versions:
        missing = checks.lacking(before.old, after.new)
        count = f"{len(before.old.versions)}"
        yield ParityRow("modules", not missing, count, f"without {', '.join(missing)}" if missing else f"{count} there")
    if before.old.log_writable:
        yield ParityRow(
            "log folder", after.new.log_writable, "writable", "writable" if after.new.log_writable else "not writable"
        )


def device_table(before: Before, after: After) -> dict[str, dict[str, str]]:
    """Compare each device on the old appliance with the same one on the new appliance.

    Returns:
        By device name: `before` and `now` ("present", "missing", or "" where no list was to be had), and `files`, how
        many of its files are the same.
    """
    was, has = before.old.devices, after.new.devices
    names = {*(was or ()), *(has or ())}
    return {
        name: {
            "before": "" if was is None else "present" if name in was else "missing",
            "now": "" if has is None else "present" if name in has else "missing",
            "files": _files(name, before, after),
        }
        for name in sorted(names)
    }


def _files(name: str, before: Before, after: After) -> str:
    own = {path: digest for path, digest in before.files.items() if name in device_discovery.in_tree([path])}
    same = sum(after.files.get(path) == digest for path, digest in own.items())
    return f"{same} of {len(own)} the same" if own else ""
