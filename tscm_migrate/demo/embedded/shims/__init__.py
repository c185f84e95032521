"""Replacements for programs that need root or show the complete machine; first in an embedded appliance's PATH.

They are copied to the appliance; standard library only. They use the state of the lab from its control socket. Every
command of an appliance starts several of them, so each module imports only what all its programs need.
"""
