"""The report of a run as a page and as lines of text, from the data that migration.report makes."""
