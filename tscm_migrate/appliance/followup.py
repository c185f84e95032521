"""What is asked about answers already given: once more for the same one, "Are you sure?", a summary of all. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tscm_migrate.appliance import question as q
from tscm_migrate.appliance import refused
from tscm_migrate.appliance.sense import sense, speaks_of_keeping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tscm_migrate.appliance.prompts import Rule

_NOT_TAKEN = re.compile(
    r"\b(?:invalid|unrecogni[sz]ed|not\s+(?:understood|recogni[sz]ed|a\s+valid)|don't\s+understand|please\s+(?:answer|type|enter|say)\s+(?:with\s+|either\s+)?\W?(?:y|yes|n|no)\b(?!\s+(?:if|to|for))|"
    r"wrong\s+(?:answer|input)|bad\s+(?:answer|input)|sorry|unknown\s+(?:answer|option|input))(?!\w)|^\W*y\s*/\s*n\W*$",
    re.IGNORECASE,
)
_SURE = re.compile(
    r"\W*(?:(?:are\s+you\s+)?(?:really\s+|quite\s+|absolutely\s+|very\s+)?(?:sure|certain)(?:\s+(?:of|about)\s+(?:this|that|it))?|really|"
    r"is\s+(?:this|that)\s+(?:correct|right|ok(?:ay)?|what\s+you\s+want)|correct|ok(?:ay)?|(?:please\s+)?confirm)\W*",
    re.IGNORECASE,
)
_ROW = re.compile(r"^\W*(?P<label>[A-Za-z][\w ./()-]{0,28}?)\s*[:=]\s*(?P<said>\S.*)$")
_DONE = re.compile(
    r"\W*(?:yes|y|on|true|restor\w+|will\s+be\s+restored|replac\w+|overwrit\w+|appl\w+|from\s+(?:the\s+)?(?:backup|archive))\W*"
)
_LEFT = re.compile(
    r"\W*(?:no|n|off|false|none|skip\w*|ke(?:ep|pt)\w*|left\s+alone|unchanged|not\s+restored|"
    r"will\s+(?:not\s+be\s+restored|be\s+kept))\W*"
)
_GO_ON = re.compile(
    r"\b(?:apply|continue|proceed|go\s+(?:on|ahead)|start|begin|sure|correct|right|ok(?:ay)?|confirm|accept|ready)\b",
    re.IGNORECASE,
)


def asks_again(line: str, before: Sequence[str]) -> bool:
    """Whether it only says how the last question has to be answered ("Please type 'yes' or 'no': ")."""
    told = [text for text in before if text.strip()]
    complaints = all(
        _NOT_TAKEN.search(text) and "?" not in text and not refused.VETO.search(text) and not refused.WILL.search(text)
        for text in told
    )
    return q.is_slot(line) and q.spelling(line) is not None and complaints


def asks_whether_sure(line: str, before: Sequence[str]) -> bool:
    """Whether it wants nothing but the last answer confirmed: nothing has been said since."""
    return not any(text.strip() for text in before) and _SURE.fullmatch(q.without_choice(line)) is not None


def agrees(line: str, told: Sequence[str], rules: Sequence[Rule], values: Mapping[str, object]) -> bool | None:
    """Whether a summary to be confirmed says what is wanted; None: there is none above `line`.

    False also where it says of SSH, of cron or of the network what is not to be understood.
    """
    rows = [match for text in told if (match := _ROW.match(text))]
    parts = [rule for rule in rules if rule.kind == "yesno" and rule.neutral]
    shown = [
        (rule, row["said"]) for row in rows for rule in parts if re.search(rule.subject, row["label"], re.IGNORECASE)
    ]
    if len(rows) < 2 or all(rule.name == "network" for rule, _ in shown):
        return None
    asks = q.without_choice(line)
    if refused.VETO.search(asks) or speaks_of_keeping(asks) or not sense(asks, frozenset(), bare=True):
        return False
    return bool(_GO_ON.search(asks)) and all(
        _says(said, rule.name, wanted=rule.answer == q.YES, values=values) for rule, said in shown
    )


def _says(said: str, name: str, *, wanted: bool, values: Mapping[str, object]) -> bool:
    """Whether a row's value means what is wanted."""
    if name == "network" and (address := re.match(refused.IPV4, said)):
        return address[0] == values.get("address" if wanted else "here")
    return bool((_DONE if wanted else _LEFT).fullmatch(said.lower()))


def of_menu(paragraph: Sequence[str], rules: Sequence[Rule]) -> tuple[Rule, str] | None:
    """The rule that a menu of two ways ("1) Restore … 2) Keep …") is for, and the key to press; None: it is no such."""
    rows = [(q.option(text), text) for text in paragraph]
    told = " ".join(text for found, text in rows if found is None)
    options = [found for found, _ in rows if found is not None]
    does, leaves = q.two_ways(options)
    if does is None or leaves is None or sense(does[1], frozenset(), bare=True) is not True:
        return None
    if sense(leaves[1], frozenset(), bare=True) is None:
        return None
    whole = " ".join([told, *(text for _, text in options)])
    about = [rule for rule in rules if rule.kind == "yesno" and rule.neutral and rule.about(whole, whole)]
    if len(about) != 1:
        return None
    return about[0], does[0] if about[0].answer == q.YES else leaves[0]
