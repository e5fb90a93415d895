"""``python -m lem``."""

from lem.cli import main

main()
