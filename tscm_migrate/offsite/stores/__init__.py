"""Where copies are kept: one small module a kind of storage, behind the Protocol in `base`."""
