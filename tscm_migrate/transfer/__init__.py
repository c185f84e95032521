"""How archives travel between appliances and this workstation; never under a final name before they are whole.

Start with `go.copy` (between appliances), `go.pull` and `go.push`. A method (`methods/`) moves archives from one end
(`ends/`) to another; what all of them do the same way is in `carry`.
"""
