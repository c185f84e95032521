"""What a user can say. Each task parses, calls and renders; its modules are light, so that --help is fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invoke.collection import Collection


def namespace() -> Collection:
    """All tasks, for the console script and for a checkout's tasks.py."""
    from invoke.collection import Collection

    from . import (
        afterwards,
        archives,
        backup,
        campaign,
        cluster,
        demo,
        host,
        migrate,
        offsite,
        plan,
        prompts,
        report,
        runs,
        schedule,
        secret,
        shells,
        start,
    )

    root = Collection("tscm_migrate")
    root.add_task(migrate.migrate)
    root.add_task(migrate.rehearse)
    for task in (
        start.init,
        start.doctor,
        plan.plan,
        plan.check,
        runs.runs,
        runs.show,
        runs.resume,
        runs.rollback,
        runs.forget,
        runs.unlock,
        afterwards.verify,
        backup.backup,
        archives.archives,
        archives.pull,
        archives.push,
        shells.completion,
        shells.manual,
    ):
        root.add_task(task)
    root.add_task(demo.demo)
    root.add_task(schedule.schedule)
    root.add_collection(campaign.collection())
    root.add_collection(afterwards.devices())
    root.add_collection(cluster.collection())
    root.add_collection(host.collection())
    root.add_collection(prompts.collection())
    root.add_collection(report.collection())
    root.add_collection(secret.collection())
    root.add_collection(offsite.collection())
    return root
