"""Replacements for programs that need root or show the complete machine; first in an embedded appliance's PATH.

They are copied to the appliance; standard library only. They use the state of the lab from its control socket. Every
command of an appliance starts several of them, so each module imports only what all its programs need.
"""

SHIMS = {
    "sudo": "system.sudo",
    "shutdown": "system.shutdown",
    "reboot": "system.reboot",
    "poweroff": "system.poweroff",
    "halt": "system.poweroff",
    "systemctl": "system.systemctl",
    "service": "system.service",
    "ip": "net.ip",
    "ping": "net.ping",
    "hostname": "net.hostname",
    "ps": "proc.ps",
    "pgrep": "proc.pgrep",
    "pkill": "proc.pkill",
    "killall": "proc.pkill",
    "chown": "files.chown",
    "chgrp": "files.chown",
    "install": "files.install",
    "stat": "files.stat",
    "find": "files.find",
    "id": "files.identity",
    "whoami": "files.identity",
    "tscm-on-terminal": "system.on_terminal",  # for the lab's SSH server
}
"""Name of the program → module and function."""
