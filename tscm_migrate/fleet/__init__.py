"""Run the same operation on many hosts, a limited number at a time, on this machine or on several."""
