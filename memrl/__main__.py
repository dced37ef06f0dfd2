"""``python -m memrl`` is ``memrl``."""

from memrl.cli.main import main

main()
