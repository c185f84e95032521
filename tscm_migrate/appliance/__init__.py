"""One TSCM appliance: its facts, archives, processes, network and cron entries."""
