"""Move a ThreatSTOP Centralized Manager (TSCM) to a new appliance over SSH."""

__version__ = "0.1.0"
