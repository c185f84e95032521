"""Archives: their names, selection, hashes, encryption and contents. Names and contents are hostile input."""
