"""An appliance that words its questions otherwise, and whose programs may need root."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.harness.guest import term_prompt
from tests.harness.guest.wording import QUESTIONS, WORDINGS, YES_NO, Wording
from tscm_migrate.demo.guest.inside.base import COMMANDS, TRIES, Machine, Options

if TYPE_CHECKING:
    from pathlib import Path


class VariedMachine(Machine):
    """One appliance, with the properties of a `tests.harness.profile.Profile`."""

    def __init__(self, data: dict[str, Any], program: str, argv: list[str]) -> None:
        super().__init__(data, program, argv)
        self.faults: dict[str, Any] = self.profile["faults"]
        self.privileged: bool = data.get("privileged", False)
        self.owner: list[int] | None = data.get("owner")
        self._as_root: str = data.get("as_root", "")
        self.wording: Wording = WORDINGS[self.profile["wording"]]
        self.texts = {**QUESTIONS, **self.wording.messages, **self.wording.texts}
        self.tags = dict(zip(("info", "warn", "error", "debug"), self.wording.tags, strict=True))

    # ---- privileges, in the namespace lab

    def is_root(self) -> bool:
        """Return whether the program runs as root, or by the embedded lab's sudo."""
        return (self.privileged and os.geteuid() == 0) or super().is_root()

    def want_root(self) -> None:
        """Start again by sudo if this appliance's programs do that; else return."""
        asks = self.profile["tsadmin_needs_sudo"]
        if self.is_root() or not (asks or self.privileged):
            return
        sys.stdout.flush()
        os.execvp("sudo", ["sudo", *([] if asks else ["-n"]), self._as_root, self.program, *self.argv])

    def own(self, path: Path, mode: int) -> None:
        """Give a file to the appliance's user, as the real programs do."""
        super().own(path, mode)
        if self.owner is not None and os.geteuid() == 0:
            os.chown(path, *self.owner)

    def sudo(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run "reboot" or "restart_ssh" as root."""
        if not self.privileged:
            return super().sudo(name)
        command = [*([] if self.is_root() else ["sudo", "-n"]), *COMMANDS[name]]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)

    # ---- lines

    def busy(self, what: str) -> None:
        """Show progress that rewrites its own line, if this wording does so."""
        if self.wording.noise:
            for percent in (7, 42, 88, 100):
                self.write(f"\r\x1b[K{what} … {percent:3d}%")
                time.sleep(0.01)
            self.write("\r\x1b[K")

    def hang(self, fault: str) -> None:
        """Print nothing for the time in the fault."""
        if seconds := self.faults.get(fault):
            self.note("hangs", fault=fault)
            time.sleep(float(seconds))

    def drip(self) -> None:
        """Print that it continues, again and again, as long as the output is read."""
        if every := self.faults.get("drips"):
            self.note("drips")
            for line in itertools.count(1):
                self.info(f"still at it ({line})")
                time.sleep(float(every))

    # ---- questions

    def show(self, prompt: str) -> None:
        """Write a prompt, in pieces if this wording does so."""
        if not self.wording.drip:
            self.write(prompt)
            return
        third = max(1, len(prompt) // 3)
        for start in range(0, len(prompt), third):
            self.write(prompt[start : start + third])
            time.sleep(0.02)

    def lead(self, question: str, **values: str) -> None:
        """Write the lines above a question, if this wording has some."""
        if self.wording.leads:
            super().lead(question, **values)

    def slot(self, question: str, **values: str) -> str:
        """Return the prompt of a question that is not yes-or-no."""
        if self.wording.term_prompt:
            return term_prompt.question(f"{self.text(question, **values)} :", width=_width())
        return self.wording.prompt(self.text(question, **values))

    def ask_yes(self, question: str, **values: str) -> bool:
        """Ask for yes or no; repeat the question after another answer, three times at most."""
        self.lead(question, **values)
        wording = self.wording
        for attempt in range(TRIES):
            prompt = self._choice(question, again=attempt > 0, **values)
            answer = self.answer(question, prompt).strip().lower()
            if not answer and wording.defaults:
                return question in wording.yes_by_default
            if answer in ("yes", "no") or (answer in ("y", "n") and not wording.strict):
                return answer.startswith("y")
            if wording.term_prompt:
                self.write("Invalid yes or no response. Options are: y or n\n")
            elif complaint := self.texts["not_yes_or_no"]:
                self.warn(complaint)
        self.fail("No valid answer, giving up.")

    def _choice(self, question: str, *, again: bool, **values: str) -> str:
        """Return the prompt of a question with the answers yes and no."""
        text, yes = self.text(question, **values), question in self.wording.yes_by_default
        if self.wording.term_prompt:
            text += "?" if question in YES_NO else ""
            default = "y" if yes else "n"
            return term_prompt.question(text, options="y or n", default=default, again=again, width=_width())
        return self.wording.prompt(text, yes=yes)

    def ask_line(self, question: str, **values: str) -> str:
        """Ask for a line of text; questions of Term::Prompt do not accept an empty answer."""
        for _ in range(TRIES):
            answer = super().ask_line(question, **values)
            if answer.strip() or not self.wording.term_prompt:
                return answer
            self.write("Invalid option\n")
        self.fail("No answer, giving up.")

    def ask_line_or_nothing(self, question: str) -> str:
        """Ask for a line of text that may be empty."""
        return super().ask_line(question)

    def ask_number(self, paths: list[Path], base: int = 1) -> int:
        """Show the archives and let one be chosen; return its index."""
        base = self.profile["list_base"]
        self.busy("Indexing backups")
        if not self.wording.term_prompt:
            return super().ask_number(paths, base)
        last = base + len(paths) - 1
        for attempt in range(TRIES):
            width = _width()
            names = [path.name for path in paths]
            self.write(term_prompt.menu(self.text("backups"), names, base=base, width=width))
            options = f"{base} - {last}"
            prompt = term_prompt.question(">", options=options, default=str(base), again=attempt > 0, width=width)
            answer = self.answer("choose", prompt).strip() or str(base)
            if answer.isascii() and answer.isdigit() and base <= int(answer) <= last:
                return int(answer) - base
            self.write(f"\n{answer} is an invalid choice.\n\n")
        self.fail("No valid selection, giving up.")

    def item(self, number: int, path: Path) -> str:
        """Return a line of the list of archives."""
        about = path.stat()
        date = datetime.fromtimestamp(about.st_mtime, UTC).strftime("%Y-%m-%d %H:%M")
        return self.wording.item.format(n=number, name=path.name, path=path, size=about.st_size, date=date)

    def given_passphrase(self, options: Options) -> str | None:
        """Return the passphrase from the options, if this appliance supports them."""
        if not self.profile["honours_passphrase_file"]:
            options.gpg_passphrase_file = ""
        return super().given_passphrase(options)


def _width() -> int:
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 0
