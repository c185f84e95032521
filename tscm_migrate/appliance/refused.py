"""What is never answered, whatever else is mentioned: what nobody asked for, and what is about something else. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tscm_migrate.appliance.sense import speaks_of_keeping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Nobody asked for these: such a question is never one of ours, whatever else it mentions.
VETO = re.compile(
    r"\b(?:send|upload\w*|shar(?:e|ing)|submit\w*|report(?:s|ing)?|statistic\w*|telemetry|diagnostic\w*|licen[cs]\w+|"
    r"regist(?:er|ration)\w*|subscri\w+|delet\w+|remov\w+|purg\w+|wip(?:e|ed|ing)|eras\w+|format(?:s|ting)?|factory|reset\w*|"
    r"donat\w+|survey|feedback|agree\w*|eula|terms|support\w*|enabl\w+|disabl\w+|regenerat\w+|generat\w+|upgrad\w+|clear\w*|"
    r"trial|analytics|usage|participat\w*|programme?|drop|discard\w*|destroy\w*|clean\w*|prun\w+|rotat\w+|dump\w*|crash\w*|"
    r"shut\s*down|power\s*off|halt|decommission\w*|activat\w+)\b",
    re.IGNORECASE,
)
# Said in the lines before a bare "Continue?", these make it a question that is not ours.
WILL = re.compile(
    r"\b(?:will|would|going\s+to|about\s+to|must|shall|to)\s+(?:be\s+)?(?:\w+ly\s+)?(?:send|sent|upload\w*|shar\w+|delet\w+|"
    r"remov\w+|purg\w+|wip\w+|eras\w+|format\w*|reset|upgrad\w+|disabl\w+|discard\w*)\b"
    r"|\b(?:is|are|be|being|gets?)\s+(?:\w+(?:ly|st|lso)\s+|all\s+|\w+ed\s+and\s+)?(?:sent|uploaded|shared|deleted|removed|purged|"
    r"wiped|erased|formatted|reset|discarded|destroyed|emptied|shut\s+down|powered\s+off)\b"
    r"|\b(?:sends|uploads|shares|deletes|removes|purges|wipes|erases|formats|resets|discards|destroys|empties|shuts\s+down)\b"
    r"|\b(?:telemetry|diagnostic\w*|licen[cs]e|eula|terms\s+(?:of|and)|agree\w*|factory|"
    r"support\s+(?:team|portal)|threatstop\s+support)\b",
    re.IGNORECASE,
)
NEWS = re.compile(  # what has been done is no longer asked about
    r"\b(?:done|ok|complete[d]?|finished|restored|skipped|success\w*|saved|found|loaded|failed|not applied)\b"
    r"\W*(?:\(.*\))?\W*$",
    re.IGNORECASE,
)
# Trouble told before a bare "Continue?": whether to go on all the same is a person's to say.
TROUBLE = re.compile(
    r"\b(?:fail(?:ed|ure|ures|s)?|errors?|could\s+not|couldn't|unable\s+to|damaged|corrupt\w*|checksum\w*|signature|invalid|"
    r"incomplete|no\s+space|not\s+enough|incompatible|not\s+supported|conflict\w*|duplicate|in\s+use\s+by|only\s+\d+\s+of|"
    r"still\s+(?:on-?line|up|alive|active|running|reachable|there|answers?|in\s+use|responds?))\b",
    re.IGNORECASE,
)
NO_TROUBLE = re.compile(
    r"\b(?:no|0|zero|without(?:\s+any)?|if)\s+(?:\w+\s+){0,2}?(?:errors?|fail\w*|conflicts?)\b|\b(?:errors?|fail\w*)\s*[:=]\s*(?:0|none)\b"
    r"|\bchecksum\w*\W+(?:\w+\W+)?(?:ok|good|correct|verified|valid)\b|\bto\s+avoid\b.*?\bconflicts?\b",
    re.IGNORECASE,
)
_ARCHIVE = re.compile(r"threatstop_backup_[\d_-]+\.tsbak(?:\.gpg)?", re.IGNORECASE)
_CHOSEN = re.compile(
    r"^\W*(?!.*\b(?:saved|safety|before|previous)\b)[A-Za-z ]{1,24}\s*[:=]\s*\S*threatstop_backup", re.IGNORECASE
)
IPV4 = r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"
_LABELLED = re.compile(rf"\b(?:ip(?:v4)?|(?:ip\s*)?addr(?:ess)?)\b\D{{0,24}}{IPV4}", re.IGNORECASE)
_IS_IT_RIGHT = re.compile(
    r"\b(?:correct|right|ok(?:ay)?|all\s+well|apply|continue|proceed|go\s+ahead)\b", re.IGNORECASE
)


def troubled(text: str) -> bool:
    """Whether it tells of a failure or of a contention, and not of its absence."""
    return bool(TROUBLE.search(NO_TROUBLE.sub(" ", text)))


def another_thing(line: str, paragraph: Sequence[str], values: Mapping[str, object], *, yes_no: bool) -> bool:
    """Whether it is about another archive or another address than what this run is about."""
    return (
        _another_archive(line, paragraph, values, yes_no=yes_no)
        or _another_address(line, paragraph, values)
        or (yes_no and _takes_another_address(line, values))
    )


def _another_archive(line: str, paragraph: Sequence[str], values: Mapping[str, object], *, yes_no: bool) -> bool:
    """Whether it speaks of one archive, and not of ours: nobody wants that one.

    Which of several is meant by a mere "the latest" is not to be seen.
    """
    ours = values.get("archive")
    if not isinstance(ours, str):
        return False
    labelled = [text for text in paragraph[:-1] if _CHOSEN.search(text)]
    near = [*labelled, *paragraph[-1:]] if yes_no else paragraph
    named = {name.lower() for name in _ARCHIVE.findall(" ".join([*near, line]))}
    if (
        yes_no
        and not named
        and re.search(r"\b(?:latest|newest|most\s+recent)\s+(?:backup|archive)", line, re.IGNORECASE)
    ):
        return True
    return len(named) == 1 and ours not in named


def _takes_another_address(line: str, values: Mapping[str, object]) -> bool:
    """Whether it asks for an address to be taken that is not the one to be restored.

    What is told before the question may name the address of now; to *keep* that one is a question that has its rule.
    """
    ours, here = values.get("address"), values.get("here")
    if not isinstance(ours, str) or not ours or "here" not in values:
        return False
    last = re.split(r"(?<=[.!?;])\s+(?=[A-Z])", line.strip())[-1]
    shown = re.findall(IPV4, last)
    taken = re.findall(rf"(?:\bto|\bbe|\bbecome|->|→|=>)\s*({IPV4})", last)
    if any(address != ours for address in taken):
        return not (taken == [here] and speaks_of_keeping(last))
    return bool(shown) and ours not in shown and not speaks_of_keeping(last)


def _another_address(line: str, paragraph: Sequence[str], values: Mapping[str, object]) -> bool:
    """Whether it wants a summary confirmed that shows another address than the one to be taken or the one of now.

    A replay knows neither, and says nothing of where it is "here".
    """
    if "here" not in values or not _IS_IT_RIGHT.search(line):
        return False
    told = "\n".join([*paragraph, line])
    shown = set(re.findall(IPV4, told))
    return bool(_LABELLED.search(told)) and not shown & {values.get("address"), values["here"]}
