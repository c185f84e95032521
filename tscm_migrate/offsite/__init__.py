"""Off-site: archives in storage that survives the appliance, and the proof that they can be restored.

A *copy* is one archive of one host in one store: a data object under a key that nobody else uses, and a manifest
that is committed only after the data is there, whole and read back. No manifest, no copy; so a run that is cut
anywhere leaves at most data that `clean` takes away, never half a copy.
"""
