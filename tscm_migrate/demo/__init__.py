"""Rehearsal appliances: simulated TSCMs that behave as the vendor's documents say, faults included.

Only the tests, the demo and the rehearsal import this; it may import anything.
"""
