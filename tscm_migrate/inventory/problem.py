"""pydantic's findings in an operator's words; never with the value, which may be a secret in the wrong place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from tscm_migrate.util.suggest import suggestion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel, ValidationError

_TEXTS = {
    "string_type": "should be text in quotes",
    "int_type": "should be a whole number, without quotes",
    "bool_type": "should be true or false, without quotes",
    "list_type": 'should be a list, as in ["a", "b"]',
    "dict_type": "should be a table",
    "model_type": "should be a table",
    "float_type": "should be a number of seconds",
    "float_parsing": "should be a number of seconds",
}


def describe(error: ValidationError, model: type[BaseModel]) -> tuple[str, tuple[int | str, ...], str]:
    """The first problem: its text, the key's path inside the model, and what to do.

    A misspelt key goes before the missing one that it was meant to be.
    """
    found = error.errors(include_url=False, include_context=True, include_input=False)
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
    loc = tuple(part for part in first["loc"] if part != "[key]")
    kind = first["type"]
    if kind == "extra_forbidden":
        known = _keys(model, loc[:-1])
        return f"unknown key{suggestion(str(loc[-1]), known)}", loc, f"known here: {', '.join(sorted(known))}"
    if kind == "missing":
        return "is missing", loc, f"add {loc[-1]} = …"
    if kind == "value_error":
        return str(first.get("ctx", {}).get("error", first["msg"])), loc, "correct the value"
    text = _TEXTS.get(kind)
    return text or first["msg"].replace("Input should be", "should be"), loc, "correct the value"


def _keys(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """The keys that the table at `loc` may have."""
    at: Any = model
    for part in loc:
        if isinstance(part, str) and hasattr(at, "model_fields") and part in at.model_fields:
            at = _model_in(at.model_fields[part].annotation)
    return list(at.model_fields) if hasattr(at, "model_fields") else []


def _model_in(annotation: Any) -> Any:
    if hasattr(annotation, "model_fields"):
        return annotation
    return next((found for arg in get_args(annotation) if (found := _model_in(arg)) is not None), None)
