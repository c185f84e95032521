"""SSH: connections whose host key is always checked, commands, byte streams and dialogues.

Imports point down: `connect` → `shell` → `execution`, `stream`, `dialogue` → `command`, `translate`;
`hostkeys` stands alone.
paramiko and fabric are imported when a connection is made, never by importing this package.
"""
