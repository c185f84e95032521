"""How archives travel between appliances and this workstation; never under a final name before they are whole.

Start with `api.copy` (between appliances), `api.pull` and `api.push`. A method (`methods/`) moves archives from one end
(`ends/`) to another; what all of them do the same way is in `carry`.
"""
