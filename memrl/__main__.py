"""``python -m memrl`` is ``memrl``."""

from memrl.cli import main

main()
