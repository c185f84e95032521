"""Places that have or are to have archives: an appliance with a shell, one with SFTP only, a folder here."""
