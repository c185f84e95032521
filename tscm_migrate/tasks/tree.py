"""The command tree. `names` has the groups of the help and the old names."""

from __future__ import annotations

from invoke.collection import Collection

from . import (
    afterwards,
    archives,
    backup,
    campaign,
    cluster,
    demo,
    evidence,
    host,
    migrate,
    offsite,
    offsite_care,
    offsite_schedule,
    prompts,
    runs,
    schedule,
    secret,
    shells,
)
from . import start as setup


def namespace() -> Collection:
    """Return all commands, for the console script and for a checkout's tasks.py."""
    root = Collection("tscm_migrate")
    for task in (
        setup.init, setup.doctor, migrate.plan, migrate.migrate, migrate.rehearse, runs.resume, runs.rollback,
        demo.demo, afterwards.verify, backup.backup, schedule.schedule, *shells.tasks(root),
    ):  # fmt: skip
        root.add_task(task)
    for module in (archives, campaign, cluster, host, prompts, runs, secret):
        root.add_collection(module.collection())
    root.add_collection(afterwards.devices())
    root.add_collection(evidence.reports())
    root.add_collection(evidence.support())
    root.add_collection(Collection("offsite", *offsite.TASKS, *offsite_care.TASKS, *offsite_schedule.TASKS))
    return root
