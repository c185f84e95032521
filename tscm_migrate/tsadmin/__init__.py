"""The dialogues with tsadmin, and what it prints."""
