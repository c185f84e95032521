"""Transfer methods, one module each, and their registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tscm_migrate.transfer.methods.relayed import Pull, Push, Sftp
from tscm_migrate.transfer.methods.rsync import Rsync
from tscm_migrate.transfer.methods.tar import Tar

if TYPE_CHECKING:
    from tscm_migrate.transfer.base import Method

METHODS: dict[str, Method] = {"rsync": Rsync(), "tar": Tar(), "sftp": Sftp(), "pull": Pull(), "push": Push()}
