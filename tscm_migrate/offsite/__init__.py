"""Off-site copies: archives in a store outside the appliance, with the proof that they can be restored.

A copy is one archive of one host in one store: a data object under a key of its own, and a manifest that is written
only after the data is complete and was read back. Data without a manifest is not a copy: an interrupted run leaves at
most such data, which `clean` deletes.
"""
