"""The console front end: entry point, parser, errors as text, setup, doctor, completion."""
