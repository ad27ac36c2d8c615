"""`python -m aecodec`: the same as the command `aecodec`."""

from .command.main import main

main(prog_name="aecodec")
