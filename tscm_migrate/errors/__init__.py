"""Every error that a user can meet, as one tree; docs/reference/errors.md shows each with its text and its remedy.

An error has fields, a stable `code`, an exit status, a retry class and a remedy, but no layout and no secret. Only
`tscm_migrate.cli.failures` turns it into text. The classes are imported from this package.
"""

# ruff: noqa: F403 - the modules of this package are one namespace, divided by subject
from tscm_migrate.errors.appliance import *
from tscm_migrate.errors.base import *
from tscm_migrate.errors.migration import *
from tscm_migrate.errors.offsite import *
from tscm_migrate.errors.ssh import *
from tscm_migrate.errors.transfer import *
from tscm_migrate.errors.usage import *
