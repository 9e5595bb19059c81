"""Where the command starts: without the libraries of the extra, it says so."""

from __future__ import annotations

import sys

_OF_THE_EXTRA = ("defusedxml", "snowballstemmer")


def main() -> int:
    """Run the command line; return its exit status."""
    try:
        from code_labs import cli  # noqa: PLC0415  # it needs what may be missing
    except ModuleNotFoundError as error:
        if error.name not in _OF_THE_EXTRA:
            raise
        print("code-labs needs the extra labs: pip install 'code-executor[labs]'", file=sys.stderr)
        return 2
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
