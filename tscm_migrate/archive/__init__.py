"""What is in an archive. Its layout is not documented, its names and bytes are hostile input: all is bounded."""
