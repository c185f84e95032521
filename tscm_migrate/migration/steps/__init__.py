"""The steps of a migration, each a module; `plan.py` puts them in order."""
