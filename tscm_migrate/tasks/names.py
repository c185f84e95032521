"""Names in the command tree: the groups of the help, what each group of commands is for, and old names."""

from __future__ import annotations

# The front page of the help: title → commands and groups of commands. One that is not named here stands under "More".
GROUPS = {
    "Set up": ("init", "doctor", "host", "secret"),
    "Migrate": ("plan", "rehearse", "migrate", "resume", "rollback", "run", "campaign", "demo"),
    "After a migration": ("verify", "devices", "report"),
    "Backups": ("backup", "archive", "offsite", "schedule"),
    "More": ("prompts", "cluster", "support", "completion", "man"),
}
# What each group of commands is for.
ABOUT = {
    "archive": "Archives on an appliance",
    "campaign": "Many migrations, in waves",
    "cluster": "Clusters of workstations",
    "devices": "Devices of an appliance",
    "host": "Hosts and their SSH keys",
    "offsite": "Copies of archives off-site",
    "prompts": "Questions of tsadmin",
    "report": "Reports as evidence",
    "run": "Runs of this workstation",
    "secret": "Secrets in the keyring",
    "support": "Files for a bug report",
}
# Old name → new name. They work for one release and print one line with the new name.
RENAMED = {
    "archives": "archive list",
    "check": "plan --checks-only",
    "forget": "run discard",
    "manual": "man",
    "pull": "archive pull",
    "push": "archive push",
    "report open": "run report",
    "report show": "run report --text",
    "runs": "run list",
    "secret forget": "secret delete",
    "show": "run show",
    "unlock": "run unlock",
}
# Command → old option → new option; "" holds for every command.
RENAMED_OPTIONS = {
    "": {"--debug-traceback": "--traceback"},
    "cluster": {"--days": "--valid"},
    "doctor": {"--offline": "--local"},
    "schedule": {"--days": "--older"},
}
