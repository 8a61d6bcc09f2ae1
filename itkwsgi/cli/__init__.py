"""The operator's hands: runs as whoever types, reads itk.toml, holds no privilege and no process.

``serve`` becomes the supervisor by exec; nothing of the command line is ever loaded in a role.
"""
