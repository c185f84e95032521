"""Servers that cannot be had from a registry, or that do what no real one does: stand-ins for tests."""
