"""`python -m tscm_migrate`: the same as the console script."""

from .cli.main import main

main()
