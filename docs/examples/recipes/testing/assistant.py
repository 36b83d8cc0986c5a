"""An application: it sums up what its user pastes."""

from __future__ import annotations

from collections.abc import Callable

from orfallback import Chain, FallbackError, StreamInterrupted

BUSY = "The assistant is busy. Your text is kept; please try again later."
BROKEN = "\n(The summary broke off here.)"


class Assistant:
    """Sums up texts.

    :param chain: whom to ask. Handed in, so that a test can hand in one of its own.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def sum_up(self, text: str, show: Callable[[str], object]) -> bool:
        """Show a summary while it comes, and return whether it is whole."""
        try:
            with self._chain.stream(f"Sum up:\n\n{text}", temperature=0.2) as stream:
                for piece in stream.iter_text():
                    show(piece)
        except StreamInterrupted:
            show(BROKEN)
            return False
        except FallbackError:
            show(BUSY)
            return False
        return True
