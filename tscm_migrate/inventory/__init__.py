"""The inventory: a TOML file becomes frozen hosts, every value with the place it came from.

`read.load` reads it, `inventory.Inventory` is the result. Importing this package does not import pydantic.
"""
