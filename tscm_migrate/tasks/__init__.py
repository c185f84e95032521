"""The commands. Each task parses its options, calls and prints; the modules import little, so that --help is fast."""
