"""The commands. Each task parses its options, calls the package and prints. It imports little: --help is fast."""
