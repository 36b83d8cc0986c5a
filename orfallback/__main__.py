"""The command line: ``orfallback`` and ``python -m orfallback``."""

from __future__ import annotations

import importlib
import sys

# The exit status for what has to be set up first.
_CONFIGURATION = 3


def main() -> int:
    """Run the command line; say what to install where its extra is missing.

    :returns: the exit status.
    """
    try:
        importlib.import_module("click")
        importlib.import_module("rich")
    except ImportError as error:
        sys.stderr.write(f'The command line needs {error.name}: pip install "orfallback[cli]"\n')
        return _CONFIGURATION
    from orfallback.cli import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
