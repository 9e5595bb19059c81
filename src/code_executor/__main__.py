"""``python -m code_executor``: the command line."""

import sys

from code_executor.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
