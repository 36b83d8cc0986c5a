"""Ask the models from a shell: ``python ask.py "Why is the sky blue?"``, or the question on stdin.

The answer alone goes to stdout, while it comes. Exit status: 0 the answer is whole, 1 asking again would not help,
3 nobody answers now, 4 the answer broke off, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import io
import os
import sys

from orfallback import CallRejected, Chain, FallbackError, StreamInterrupted

WHOLE, REJECTED, NOBODY, BROKEN, CTRL_C = 0, 1, 3, 4, 130


def ask(chain: Chain, question: str) -> int:
    """Write the answer to stdout, and return the exit status."""
    try:
        with chain.stream(question) as stream:
            for text in stream.iter_text():
                print(text, end="", flush=True)
    except StreamInterrupted as error:
        # The line of the half answer ends before the message begins.
        print(flush=True)
        return say(error, BROKEN)
    except CallRejected as error:
        return say(error, REJECTED)
    except FallbackError as error:
        return say(error, NOBODY)
    print(flush=True)
    return WHOLE


def say(error: FallbackError, status: int) -> int:
    """Tell what every model answered on stderr, where it does not mix with the answer."""
    print(f"ask: {error}", file=sys.stderr)
    return status


def main() -> int:
    parser = argparse.ArgumentParser(description="Ask the models.")
    parser.add_argument("question", nargs="?", help="stdin if it is left out")
    arguments = parser.parse_args()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A model says what it likes; a terminal or file that has no such character gets a question mark.
        sys.stdout.reconfigure(errors="replace")
    question = sys.stdin.read() if arguments.question is None else arguments.question
    if not question.strip():
        parser.error("there is no question")
    try:
        chain = Chain.from_env()
    except (ValueError, LookupError) as error:
        # A variable that cannot be meant: a wrong use of the script, like a wrong option.
        parser.error(str(error))
    try:
        return ask(chain, question)
    except KeyboardInterrupt:
        return CTRL_C
    except BrokenPipeError:
        # Whoever read the answer (``| head``) has gone. Python would stumble over it once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return WHOLE


if __name__ == "__main__":
    sys.exit(main())
