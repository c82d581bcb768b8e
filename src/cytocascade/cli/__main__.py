"""``python -m cytocascade.cli``."""

from cytocascade.cli import main

main()
