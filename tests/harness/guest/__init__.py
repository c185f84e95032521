"""Programs of an appliance with the properties and faults of `tests.harness.profile`.

They are copied to the appliance beside those of `tscm_migrate.demo.guest.inside`; standard library only.
"""
