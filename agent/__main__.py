"""`python -m agent` is the command `duly`."""

from agent.entry.cli import main

main()
