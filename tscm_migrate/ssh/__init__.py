"""SSH connections whose host key is always checked: commands, byte streams, dialogues, SFTP.

Imports point down: `connect` → `shell` → `execution`, `stream`, `dialogue`, `sftp` → `exceptions`, `quoting` → `auth`,
`transport` → `known_hosts`, `ssh_config`; `pinning` uses `connect`. Importing this package does not import
paramiko; importing its modules does.
"""
