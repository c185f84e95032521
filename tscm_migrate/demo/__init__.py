"""Simulated appliances that behave as the vendor's documents describe, for `demo` and the tests.

Only the task `demo` and the tests import this package; it may import all others.
"""
