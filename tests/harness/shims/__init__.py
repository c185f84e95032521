"""Replacement programs of an embedded appliance that has other properties than that of the demo."""
