"""``python -m memrl`` is ``memrl``."""

from memrl.cli.app import main

main()
