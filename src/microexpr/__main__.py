"""``python -m microexpr``."""

from microexpr.cli import main

main()
