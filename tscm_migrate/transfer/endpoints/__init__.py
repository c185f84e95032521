"""Endpoints of transfers: an appliance with a shell, an appliance with SFTP only, a local folder."""
