"""Choices with a letter in or beside each word: "(n)ow or (l)ater", "Encrypt [E], plain [P] or abort [A]". Pure."""

from __future__ import annotations

import re

_CHOICE = re.compile(
    r"(?<!\w)[\[(<](?P<key>[A-Za-z])[\])>](?P<rest>[A-Za-z]+)\b"
    r"|(?<![\w\])>])(?P<word>[A-Za-z]{2,12})\s+[\[(<](?P<key2>[A-Za-z])[\])>](?!\w)"
    r"|(?<!\w)[\[(<](?P<key3>[A-Za-z])[\])>]\s+(?P<word3>[A-Za-z]{2,12})\b"
)
_DOES = {
    "yes", "now", "encrypt", "encrypted", "continue", "proceed", "apply", "restore", "overwrite", "replace", "accept",
    "confirm", "go", "reboot", "restart", "use", "import", "install",
}  # fmt: skip
_LEAVES = {"no", "later", "plain", "unencrypted", "skip", "keep", "leave", "none", "ignore", "retain", "preserve"}
_STOPS = {"abort", "cancel", "quit", "exit", "stop"}


def _choices(text: str) -> list[tuple[re.Match[str], str, str]]:
    """Each choice that is its word's first letter, with the letter as it is shown and the word."""
    found = []
    for match in _CHOICE.finditer(text):
        key = match["key"] or match["key2"] or match["key3"]
        word = (f"{key}{match['rest']}" if match["rest"] else match["word"] or match["word3"]).lower()
        if word[0] == key.lower():
            found.append((match, key, word))
    return found


def yes_and_no(text: str) -> tuple[str, str] | None:
    """What to type for yes and for no; None where a choice is not understood, or where several would be a yes."""
    found = _sides(text)
    return None if found is None else (found[0][0], found[1][0])


def deed(text: str) -> str:
    """The word that is the yes, where another leaves things as they are; "" where there are no such two."""
    found = _sides(text)
    return found[0][1] if found and found[1][1] in _LEAVES else ""


def _sides(text: str) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """The key and the word for yes, and those for no; to leave a part is a better no than to stop everything."""
    words = {key: word for _, key, word in _choices(text)}
    if not all(word in _DOES | _LEAVES | _STOPS for word in words.values()):
        return None
    yes = [key for key, word in words.items() if word in _DOES]
    leaves = [key for key, word in words.items() if word in _LEAVES]
    no = leaves or [key for key, word in words.items() if word in _STOPS]
    if not (len(yes) == len(no) == 1 and yes[0].lower() != no[0].lower()):
        return None
    return (yes[0], words[yes[0]]), (no[0], words[no[0]])


def joined(text: str) -> str:
    """The text with "(n)ow" written as a word, so that what it speaks of can be seen."""
    return re.sub(r"(?<!\w)[\[(<]([A-Za-z])[\])>]([A-Za-z]+)\b", r"\1\2", text)


def without(text: str) -> str:
    """The text without its choices, where these are understood."""
    if yes_and_no(text) is None:
        return text
    for match, _, _ in reversed(_choices(text)):
        text = f"{text[: match.start()]} {text[match.end() :]}"
    return text
