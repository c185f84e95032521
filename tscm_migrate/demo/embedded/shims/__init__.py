"""Stand-ins for what needs root or speaks of the whole machine; first on an embedded appliance's PATH.

Copied beside the appliance, standard library only. Each believes what the lab says through its control socket. Every
command of an appliance starts several of them, so that a module imports what all its calls need, and no more.
"""
