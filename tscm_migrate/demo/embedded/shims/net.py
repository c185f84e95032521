"""Replaces ip, ping and hostname: the network of the lab."""

from __future__ import annotations

import json
import time
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .main import Shim


def ip(shim: Shim) -> int:
    """`ip [-4] [-o|-br|-j] addr|link|route show …`, `ip link set dev X up|down`."""
    flags = {word.lstrip("-") for word in shim.argv if word.startswith("-")}
    words = [word for word in shim.argv if not word.startswith("-")]
    state = shim.ask_lab("net")
    kind = words[0] if words else ""
    verb = words[1] if len(words) > 1 else "show"
    if verb in ("set", "add", "del", "delete", "flush", "replace", "change"):
        return _change(shim, state, words)
    wanted = _device(words)
    if wanted and wanted not in (state["interface"], "lo"):
        shim.complain(f'Device "{wanted}" does not exist.')
        return 1
    return _answer(shim, kind, flags, state, wanted)


def _answer(shim: Shim, kind: str, flags: set[str], state: dict[str, Any], wanted: str) -> int:
    if "address".startswith(kind) or "link".startswith(kind):
        _show(shim, flags, state, wanted, link="link".startswith(kind))
        return 0
    if "route".startswith(kind):
        via = f"default via {state['gateway']} dev {state['interface']} proto static"
        shim.say(via if not wanted or wanted == state["interface"] else "")
        return 0
    return 0 if "neighbour".startswith(kind) else 255


def _device(words: list[str]) -> str:
    rest = words[1:]
    if "dev" in rest and rest.index("dev") + 1 < len(rest):
        return rest[rest.index("dev") + 1]
    plain = [word for word in rest if word not in ("show", "list", "ls", "up", "get", "default", "scope", "global")]
    return plain[0] if plain else ""


def _change(shim: Shim, state: dict[str, Any], words: list[str]) -> int:
    if not shim.is_root:
        shim.complain("RTNETLINK answers: Operation not permitted")
        return 2
    if state["interface"] not in words:
        shim.complain("Cannot find device")
        return 1
    if words[0].startswith("l") and ("up" in words or "down" in words):
        shim.ask_lab("link", up="up" in words)
        return 0
    if words[0].startswith("a") and words[1] in ("del", "delete", "flush"):
        shim.ask_lab("link", up=False)
        return 0
    if words[0].startswith("a") and words[1] in ("add", "replace"):
        shim.ask_lab("link", up=True)
        return 0
    return 0


def _show(shim: Shim, flags: set[str], state: dict[str, Any], wanted: str, *, link: bool) -> None:
    up, name = state["up"], state["interface"]
    own = f"{state['address']}/{state['prefix']}"
    broadcast = IPv4Interface(own).network.broadcast_address
    entries = [("1", "lo", "127.0.0.1/8", "host", True), ("2", name, own, "global", up)]
    entries = [entry for entry in entries if not wanted or entry[1] == wanted]
    if {"j", "json"} & flags:
        shim.say(json.dumps([_json(entry) for entry in entries]))
        return
    for entry in entries:
        shim.say(_line(entry, flags, str(broadcast), link=link))


def _line(entry: tuple[str, str, str, str, bool], flags: set[str], broadcast: str, *, link: bool) -> str:
    number, device, address, scope, is_up = entry
    word = "UP" if is_up else "DOWN"
    brd = f" brd {broadcast}" if device != "lo" else ""
    tail = f"inet {address}{brd} scope {scope} {device}"
    marks = f"<BROADCAST,MULTICAST{',UP,LOWER_UP' if is_up else ''}> mtu 1500 qdisc noqueue state {word}"
    head = f"{number}: {device}: {marks} group default qlen 1000"
    if {"br", "brief"} & flags:
        return f"{device:<16} {word:<14} {'' if link else address} "
    if link:
        return head
    if {"o", "oneline"} & flags:
        return f"{number}: {device}    {tail}\\       valid_lft forever preferred_lft forever"
    return f"{head}\n    {tail}\n       valid_lft forever preferred_lft forever"


def _json(entry: tuple[str, str, str, str, bool]) -> dict[str, Any]:
    number, device, address, scope, is_up = entry
    local, _, length = address.partition("/")
    info = [{"family": "inet", "local": local, "prefixlen": int(length), "scope": scope, "label": device}]
    state = "UP" if is_up else "DOWN"
    return {"ifindex": int(number), "ifname": device, "operstate": state, "flags": [state], "addr_info": info}


def ping(shim: Shim) -> int:
    """`ping [-c N] [-W S] [-I X] ADDRESS`: answered if an appliance has the address."""
    target, values = _ping_options(shim.argv)
    count = min(int(values.get("c", "1") or 1), 20)
    alive = shim.ask_lab("holds", address=target)["held"]
    shim.say(f"PING {target} ({target}) 56(84) bytes of data.")
    if alive:
        for number in range(1, count + 1):
            shim.say(f"64 bytes from {target}: icmp_seq={number} ttl=64 time=0.05 ms")
    else:
        time.sleep(min(float(values.get("W", values.get("w", "1")) or 1), 1.0))
    got = count if alive else 0
    shim.say(f"\n--- {target} ping statistics ---")
    shim.say(f"{count} packets transmitted, {got} received, {0 if alive else 100}% packet loss, time 0ms")
    return 0 if alive else 1


def _ping_options(argv: list[str]) -> tuple[str, dict[str, str]]:
    """Return the address, and the options with a value."""
    values: dict[str, str] = {}
    rest, target = list(argv), ""
    while rest:
        word = rest.pop(0)
        if word.startswith("-") and len(word) >= 2 and word[1] in "cWwiIst":
            values[word[1]] = word[2:] or (rest.pop(0) if rest else "")
        elif not word.startswith("-"):
            target = word
    return target, values


def hostname(shim: Shim) -> int:
    """`hostname [-f|-s|-I]`; never sets the name."""
    if "-I" in shim.argv:
        state = shim.ask_lab("net")
        shim.say(state["address"] + " ")
    else:
        shim.say(shim.config["hostname"])
    return 0
