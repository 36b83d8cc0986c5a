"""Reading what is given, within bounds."""

from __future__ import annotations

from typing import IO

import click

#: More than this is a mistake, such as a disk image or an endless device (bytes).
LONGEST = 16 * 1024 * 1024


def read(source: IO[bytes], what: str) -> bytes:
    """Return all that a source holds.

    :param source: a file, or stdin.
    :param what: how an error calls it.
    :raises click.UsageError: if it is longer than 16 MB, or cannot be read.
    """
    try:
        content = source.read(LONGEST + 1)
    except OSError as error:
        raise click.UsageError(f"{what} cannot be read: {error.strerror or error}") from None
    if len(content) > LONGEST:
        raise click.UsageError(f"{what} is longer than {LONGEST // 1024 // 1024} MB")
    return content
