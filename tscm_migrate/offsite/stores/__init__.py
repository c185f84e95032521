"""Stores for copies: a module for each kind of storage, with the interface of `base`."""
