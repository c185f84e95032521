"""The root of the errors that a user can meet, with their exit codes."""

from dataclasses import dataclass, field, fields
from enum import Enum, IntEnum
from typing import Any, ClassVar, dataclass_transform

from tscm_migrate.util import redact


class Exit(IntEnum):
    """The exit codes of the process; documented in docs/reference/exit-codes.md."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    ATTENTION = 4
    INTERRUPTED = 5
    HOST_KEY = 12


class Retry(Enum):
    """Whether the same call may succeed when it is repeated."""

    NEVER = "never"
    LATER = "later"
    AFTER_REMEDY = "after-remedy"


def error_fields(error: BaseException) -> dict[str, str]:
    """Return `code`, `message` and `remedy` of any error, as JSON has them; an error of another class is a defect."""
    if isinstance(error, MigrateError):
        return {"code": error.code, "message": error.message(), "remedy": error.remedy()}
    return {"code": "defect", "message": f"{type(error).__name__}: {error}", "remedy": ""}


def _rebuild(cls: "type[MigrateError]", state: dict[str, Any]) -> "MigrateError":
    error = cls.__new__(cls)
    error.__dict__.update(state)
    return error


@dataclass_transform(eq_default=False, field_specifiers=(field,))
@dataclass(eq=False)
class MigrateError(Exception):
    """The base class of all errors that a user can meet.

    Every text in an error is free of control sequences and secrets.

    Attributes:
        code: a stable name, unique for each class.
        text: the message, with fields in braces; "": see `summary`.
        advice: the remedy, with fields in braces; a field `fix` replaces it.
        foreign: the fields that hold only an appliance's own text.
    """

    code: ClassVar[str] = "error"
    text: ClassVar[str] = ""
    advice: ClassVar[str] = ""
    exit_code: ClassVar[Exit] = Exit.FAILED
    retry: ClassVar[Retry] = Retry.NEVER
    foreign: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Make each subclass a dataclass."""
        super().__init_subclass__()
        dataclass(eq=False)(cls)

    def __post_init__(self) -> None:
        self.args = ()  # Exception keeps the constructor's arguments, with any secret in them
        for each in fields(self):
            value = getattr(self, each.name)
            foreign = each.name in self.foreign and isinstance(value, str)
            setattr(self, each.name, redact.outside(value, 1 << 20, lines=True) if foreign else redact.tree(value))

    def message(self) -> str:
        """One or two sentences: what happened, to which host, with which values."""
        return self.text.format_map(vars(self)) if self.text else self.summary()

    def summary(self) -> str:
        """The message of a class without a `text`; by default the first line of its docstring."""
        return (type(self).__doc__ or self.code).splitlines()[0]

    def remedy(self) -> str:
        """What the operator does next, as a command where there is one; may be empty."""
        return str(getattr(self, "fix", "")) or self.advice.format_map(vars(self))

    def __str__(self) -> str:
        return self.message()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), dict(self.__dict__)))


def as_clause(doc: str) -> str:
    """Return a docstring's first line in the form that follows a host's name and a colon."""
    line = doc.splitlines()[0].rstrip(".")
    return line[0].lower() + line[1:]
