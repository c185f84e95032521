"""What a yes to a remote question would mean: to do it, to leave what is here, or that it cannot be told. Pure.

A deed that is denied ("Do not …", "… except SSH", "Do you mind if …") is left to a person: who takes such a yes for the
wrong one of two is not to be seen from the words.
"""

from __future__ import annotations

import re

from tscm_migrate.appliance.question import offers_a_deed, without_choice, words

_RESTORE = re.compile(
    r"\b(?:re-?stor\w*|reinstat\w*|put|bring|brought|recover\w*|re-?appl\w*|appl(?:y|ied|ying)|import\w*|install\w*|load\w*|"
    r"includ\w*|(?:tak(?:e|en|ing)|carr(?:y|ied))\s+(?:[\w.]+\s+){0,4}?over|(?:present|identify)\s+itself|transfer\w*|cop(?:y|ied)|re-?creat\w*|set|us(?:e|ed|ing)|adopt\w*|"
    r"overwrit\w*|replac\w*|chang\w*|updat\w*|switch\w*|(?:re-?)?configur(?:e|ed|ing)|writ(?:e|ten)|assum\w*|reus\w*|"
    r"as\s+well|too|also|want|correct|fix|adjust\w*|mov(?:e|ed)|rewrit\w*|match|modif\w*|becom\w*|accept\w*|assign\w*|migrat\w*|"
    r"roll\s+(?:back|in|out)|pull\s+in|merge\s+in|deploy\w*|extract\w*|activat\w*|renumber\w*|sync\w*|revert\w*)\b",
    re.IGNORECASE,
)
_KEEP = re.compile(
    r"\b(?:keep\w*|kept|leav\w*|left|preserv\w*|retain\w*|skip\w*|bypass\w*|ignor\w*|omit\w*|exclud\w*|stay\w*|stick|"
    r"maintain\w*|hold\s+on\s+to|untouched|unchanged|postpon\w*|defer\w*|delay\w*|abort\w*|cancel\w*|stop|quit|exit)\b",
    re.IGNORECASE,
)
# Stands beside a verb of keeping without being what is asked for: "keep the settings already configured here".
_AS_IT_IS = re.compile(
    r"\b(?:as\s+(?:it|they)\s+(?:is|are)|(?:already\s+)?(?:configured|installed|used|in\s+use|set(?:\s+up)?)\s+(?:here|now)"
    r"|(?:want|wish|like)\s+to|current(?:ly)?\s+\w+ed|do\s+you\s+want)\b",
    re.IGNORECASE,
)
# Whoever says yes to one of these may deny the deed, or something else than what it names.
_NOT = re.compile(
    r"\b(?:not|\w+n't|dont|never|without|instead|rather|neither|nor|unless|except\w*|excluding|other\s+than|apart\s+from|"
    r"(?:all|every\w*|anything|nothing)\s+but|but\s+for|but\s+no\w*|(?:with|restore|apply|use|import|install|copy)\s+no|"
    r"avoid\w*|declin\w*|refus\w*|den(?:y|ied)|forgo\w*|prevent\w*|forbid\w*|prohibit\w*|suppress\w*|inhibit\w*|"
    r"mind|objections?|object|oppos\w*|against|opt(?:ing)?[\s-]+out|refrain\w*|disregard\w*|veto|paus\w*|suspend\w*|"
    r"freez\w*|undo|ignor\w*\s+(?:\w+\s+)?(?:existing|current|present|local))\b",
    re.IGNORECASE,
)
_DEEDS = (
    r"(?:restor|appl(?:y|ied)|overwr|replac|import|install|includ|recover|reinst|chang|updat|touch|use[d]?\b|tak|put\b|"
    r"cop(?:y|ied)|ke(?:ep|pt)|left|skip|adopt|set\b|load|bring|brought)"
)
_STATES_A_DIFFERENCE = re.compile(
    rf"\b(?:(?:does|is|are|did)(?:\s+not|n't)|don't\s+match|not\s+(?:the\s+)?same|do\s+not\s+match)\b(?!\s+(?:\w+\s+){{0,2}}?{_DEEDS})"
    r"|\b(?:cannot|can't|can\s+not|not)\s+be\s+undone\b"
    r"|\bwithout\s+(?:any\s+|further\s+)?(?:confirmation|warning|notice|asking|prompting)\b",
    re.IGNORECASE,
)
_OWN = (
    r"(?:current(?:ly)?|existing|present|own|local|detected|"
    r"(?:this|new)\s+(?:tscm|system|host|machine|appliance|box|server)(?:'s)?)"
)
_WHOSE = r"(?:(?:with|on|the|this|its|your|our|using|\w+'s)\s+){0,4}"
_KEEPS_IN_OTHER_WORDS = re.compile(
    # "Continue without changing …", "Use the existing …", "Protect … from being overwritten", "Reboot later"
    r"\b(?:(?:continue|proceed|go\s+on|carry\s+on)\s+)?without\s+(?:(?:re)?(?:stor|chang|apply|updat|overwrit|plac|touch|"
    r"modify|alter|import|adopt|tak)ing)\b"
    rf"|\b(?:us(?:e|ing)|apply|continue|proceed|go\s+on|carry\s+on|accept|work|run|operate)\s+{_WHOSE}{_OWN}(?!\w)"
    r"|\b(?:protect|guard|safeguard|shield|spare|save)\b(?=.*\bfrom\s+being\b)"
    r"|\b(?:re-?boot|re-?start)\w*(?:\s+(?!now\b)\w+){0,3}?\s+(?:later|manually|yourself|afterwards)\b",
    re.IGNORECASE,
)
_FROM_BEING = re.compile(r"\bfrom\s+being\s+\w+", re.IGNORECASE)


def _leading(asking: str, whom: str) -> str:
    """What may stand before the verb that is asked about: "Would you like me to "."""
    return rf"^\W*(?:(?:{asking})\b[^?,]*?\b(?:{whom})\s+(?:(?:like|want|wish|prefer)\s+(?:me\s+)?to\s+)?)?"


# "Skip the cron restore?" skips, whatever it says is skipped; not so where it goes on to another deed.
_SKIPS = re.compile(
    _leading("please|do|would|should|shall|will", "you|we|i|it")
    + r"(?:skip|omit|bypass|exclude|ignore)\b(?!.*(?:,|\b(?:and|but|or|then|by)\b))",
    re.IGNORECASE,
)
# What speaks of a deed that comes before or after it, and asks for another.
_ANOTHER_DEED = re.compile(
    _leading("please|do|would|should|shall|will|may|can", "you|we|i|it")
    + r"(?:back\s*up|archive|test|verify|check|compare|show|display|view|list|print|edit|review|inspect|rename|convert|"
    r"preview|diff|validate|examine|lock|hold)\b|^\W*(?:have|has|had|did)\b",
    re.IGNORECASE,
)
_KEEPS_THE_ARCHIVES = re.compile(  # to keep what the archive has is to restore it, or to leave the archive alone
    r"\b(?:keep\w*|retain\w*|preserv\w*|leav\w*|maintain\w*|stick\w*)\b[^.?!]*\b(?:(?:from|of|in|by)\s+(?:the\s+|this\s+|that\s+)?"
    r"(?:backup|archive)|(?:backup|archive)'s|backed[\s-]*up|archived|saved)\b",
    re.IGNORECASE,
)
_WRITES_INTO_THE_ARCHIVE = re.compile(
    r"\b(?:overwrit\w*|replac\w*|updat\w*|chang\w*|modif\w*)\s+(?:(?!(?:with|by|from|to|using|in)\b)[\w']+\s+){0,3}?"
    r"(?:backed[\s-]*up|backups?|archives?|archived|saved|stored)\b"
    r"|\b(?:overwrite|replace)\b(?:(?!\b(?:with|by|from|using)\b)[^.?!])*\b(?:in|of)\s+the\s+(?:backup|archive)\b"
    rf"|\b(?:with|by)\s+(?:the\s+|those\s+(?:of|on|from)\s+)?(?:the\s+)?{_OWN}(?!\w)",
    re.IGNORECASE,
)
_PART_OR_LATER = re.compile(
    r"\b(?:(?:only|just|solely)(?!\s+(?:if|when|where|do))|nothing\s+else|later(?!\s+(?:ones?|backups?|archives?))|tonight|tomorrow)\b"
    r"|^\W*no\s+(?!encrypt|pass|protect)|\w\s*=\s*(?:no|off|false|none|skip)\b",
    re.IGNORECASE,
)
# What makes of the same words another question: when, how, by whom, or whether it would be wise.
_ODD = re.compile(
    r"\b(?:manually|by\s+hand|yourself|temporar\w+|after|before|when|while|during|until|minutes?|hours?|next|pending|"
    r"be\s+asked|ask|prompt(?:ed)?|notif\w+|wait|(?:each|every)(?!\s+(?:\w+\s+)?(?:backups?|archives?))|kill|log|owners?|permissions?|modes?|safe|problems?|matters?|too\s+late|"
    r"nothing|lose|cop(?:y|ies)\s+of|defaults|(?:default|standard|shipped|stock|fresh)\s+(?:ssh|cron\w*|network|schedule|"
    r"config\w*|settings|host|keys?|ip|address)|vlan|mtu|pxe|logging|revert\w*)\b"
    r"|\buse\b(?!.*\b(?:backup|archive|backed|saved)\b)[^.?!]*\b(?:here|(?:of|on|from)\s+(?:this|the\s+new)\s+\w+)\b"
    r"|^\W*stop\b",
    re.IGNORECASE,
)
_WHEN = re.compile(r"\b(?:after|before|when|while|during)\b.*", re.IGNORECASE)
_RESTORES = re.compile(
    _leading("please|do|would|should|shall", "you|we|i") + r"(?:restore|reinstate|import|recover)\b",
    re.IGNORECASE,
)
_REDO = re.compile(
    r"(?:^|.*[.!?;]\s+)(?:(?:do\s+you\s+want\s+to|would\s+you\s+like\s+to|shall\s+(?:i|we))\s+)?(?:restore|import|install|"
    r"reinstate|recover)\s+(?:it|them|these|those|this)(?:\s+(?:anyway|now|as\s+well|too|all))?\W*$",
    re.IGNORECASE,
)
_ADVICE = re.compile(  # "If not, choose no."
    r"(?:(?<=[.!?;])\s+|^\W*)if\s+(?:not|unsure|in\s+doubt|you\b[^.?!;,]*)[^.?!;]*\b(?:choose|say|answer|type|select|press|enter|"
    r"pick|reply)\b[^.?!;]*[.!;](?=\s)",
    re.IGNORECASE,
)
_TOLD_DEED = re.compile(
    r"\bby\s+default\b|\b(?:is|are|will|would|to)\s+(?:\w+\s+){0,2}?(?:restored|kept|skipped|left|applied|overwritten|replaced|"
    r"retained|preserved|ignored)\b",
    re.IGNORECASE,
)
_TURNS_IT = re.compile(
    r"\b(?:change|alter|override|modify|reverse|revert)\s+(?:this|that|it|them|these|the\s+default|your\s+\w+)\b",
    re.IGNORECASE,
)


def sense(text: str, neutral: frozenset[str], *, bare: bool) -> bool | None:
    """What a yes would mean: True, to do it; False, to leave it; None, it cannot be told.

    Args:
        text: the question, perhaps with the lines that it points back to.
        neutral: words that say what it is about but not what is done; a question of nothing else means to do it.
        bare: it needs no verb ("Use DHCP").
    """
    if clause := re.search(
        r"\b(?:y|yes)\b['\"`]?\s+to\s+(.{3,60}?)(?:,|\bor\b|;|\band\b)\s*['\"`]?(?:n|no)\b", text, re.IGNORECASE
    ):
        return _sense_of(clause[1], neutral, bare=bare)
    if offers_a_deed(text):
        return True
    text = re.sub(
        r",?\s*(?:or\s+)?(?:(?:anything|everything|any)\s+else|any\s+other(?:\s+\w+)?)\b.*",
        "",
        text,
        flags=re.IGNORECASE,
    )
    text = re.sub(r"[\[(][^\])]*[\])]", " ", without_choice(text)) if not bare else without_choice(text)
    return _sense_of(text, neutral, bare=bare)


def _sense_of(text: str, neutral: frozenset[str], *, bare: bool) -> bool | None:
    told = _ADVICE.sub(" ", text)
    sentences = re.split(r"(?<=[.!?;])\s+", told.strip())
    last = next((sentence for sentence in reversed(sentences) if "?" in sentence), sentences[-1])
    if _REDO.match(told):
        return True
    if _asks_for_something_else(told, last, bare=bare):
        return None
    told = _plainly(told)
    if _SKIPS.search(last):
        return False
    if _KEEPS_THE_ARCHIVES.search(told):
        return None
    if _KEEP.search(told):
        rest = _KEEP.sub(" ", _FROM_BEING.sub(" ", _AS_IT_IS.sub(" ", told)))
        return None if _RESTORE.search(rest) else False
    does = bare or _RESTORE.search(told) or all(word in neutral for word in words(told))
    return True if does else None


def _plainly(text: str) -> str:
    """The text with what only differs marked as such, and with all ways to keep something said by that word."""
    told = re.sub(r"\bwould\s+you\s+rather\s+(?!not\b)", " ", text, flags=re.IGNORECASE)
    return _KEEPS_IN_OTHER_WORDS.sub(" keep ", _STATES_A_DIFFERENCE.sub(" differs ", told))


def _asks_for_something_else(told: str, last: str, *, bare: bool) -> bool:
    """Whether a yes may deny the deed, turn round what was told, or mean another deed than the one that is named."""
    if (_TURNS_IT.search(last) and _TOLD_DEED.search(told)) or (not bare and _ANOTHER_DEED.search(last)):
        return True
    last = re.sub(r"\bnow\s+or\s+later\b", "now", last, flags=re.IGNORECASE)
    asked = re.sub(r"[\[(][^\])]*[\])]", " ", last)
    if _ODD.search(_WHEN.sub(" ", asked) if _RESTORES.search(asked) else asked) and not _KEEPS_IN_OTHER_WORDS.search(
        last
    ):
        return True
    plain = _plainly(told)
    if _NOT.search(plain) or _WRITES_INTO_THE_ARCHIVE.search(plain):
        return True
    return not _SKIPS.search(last) and bool(_PART_OR_LATER.search(_KEEPS_IN_OTHER_WORDS.sub(" ", last)))


def speaks_of_keeping(text: str) -> bool:
    """Whether a verb of keeping or leaving is in it."""
    return bool(_KEEP.search(text) or _KEEPS_IN_OTHER_WORDS.search(text))


def speaks_of_doing(text: str) -> bool:
    """Whether a verb of restoring, changing or overwriting is in it."""
    return bool(_RESTORE.search(text))
