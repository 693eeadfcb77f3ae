"""The options of each command, as typer reads them; what the commands do stands elsewhere.

Imports of the library wait until a command needs them, so that `--help` is there at once.
"""
