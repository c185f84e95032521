"""Copies archives between appliances and this workstation; an incomplete copy never has the final name.

Start with `api.copy` (between appliances), `api.pull` and `api.push`. A method (`methods/`) moves archives from one
endpoint (`endpoints/`) to another; the steps that all methods share are in `relay`.
"""
