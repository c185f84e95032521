"""The inventory: hosts read from a TOML file; the source of each value is kept with it.

`read.load` reads it, `inventory.Inventory` is the result. Importing this package does not import pydantic.
"""
