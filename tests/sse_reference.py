"""What an event stream says: written down from the standards, character by character, slow and plain.

Sources: WHATWG Encoding, "UTF-8 decoder"; WHATWG HTML 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event
stream". It shares nothing with the package, nor with the decoder that Python has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Dispatched(NamedTuple):
    """One event.

    :ivar type: its type.
    :ivar data: its data.
    :ivar last_event_id: the id that a client would send when it comes back. The package has no use for it.
    :ivar end: how many bytes of the stream must be there before it can be known.
    """

    type: str
    data: str
    last_event_id: str
    end: int


@dataclass
class Interpretation:
    """What a client has understood of a stream.

    :ivar events: the events, in order.
    :ivar comments: how many comment lines came by.
    :ivar reconnection_time: the last valid ``retry``, in ms. The package has no use for it.
    """

    events: list[Dispatched] = field(default_factory=list)
    comments: int = 0
    reconnection_time: int | None = None


class _Char(NamedTuple):
    value: str
    end: int


def interpret(raw: bytes) -> Interpretation:
    """Interpret a whole stream; what its end leaves unfinished is discarded."""
    found = Interpretation()
    data_buffer, event_type_buffer, last_event_id_buffer = "", "", ""
    for line, end in _lines(_decode(raw)):
        if line == "":
            # "Dispatch the event".
            if data_buffer != "":
                if data_buffer[-1] == "\n":
                    data_buffer = data_buffer[:-1]
                kind = event_type_buffer if event_type_buffer != "" else "message"
                found.events.append(Dispatched(kind, data_buffer, last_event_id_buffer, end))
            data_buffer, event_type_buffer = "", ""
            continue
        if line[0] == ":":
            found.comments += 1
            continue
        name, value = _field(line)
        if name == "event":
            event_type_buffer = value
        elif name == "data":
            data_buffer += value + "\n"
        elif name == "id" and "\0" not in value:
            last_event_id_buffer = value
        elif name == "retry" and value != "" and all(char in "0123456789" for char in value):
            found.reconnection_time = int(value)
    return found


def _field(line: str) -> tuple[str, str]:
    """The name and value of a line that is neither empty nor a comment."""
    if ":" not in line:
        return line, ""
    colon = line.index(":")
    name, value = line[:colon], line[colon + 1 :]
    if value != "" and value[0] == " ":
        value = value[1:]
    return name, value


def _lines(chars: list[_Char]) -> Iterator[tuple[str, int]]:
    """The lines that have an end, be it LF, CR or CRLF; a CR ends its line whatever follows."""
    line = ""
    for number, (char, end) in enumerate(chars):
        if char == "\n" and number > 0 and chars[number - 1].value == "\r":
            continue
        if char in ("\n", "\r"):
            yield line, end
            line = ""
        else:
            line += char


def _decode(raw: bytes) -> list[_Char]:
    """UTF-8 decode: one byte order mark at the start is taken off, each error is one U+FFFD."""
    chars: list[_Char] = []
    place = 3 if raw[:3] == b"\xef\xbb\xbf" else 0
    code_point = seen = needed = 0
    lower, upper = 0x80, 0xBF
    while place < len(raw):
        byte = raw[place]
        place += 1
        if needed == 0:
            if byte <= 0x7F:
                chars.append(_Char(chr(byte), place))
            elif 0xC2 <= byte <= 0xDF:
                needed, code_point = 1, byte & 0x1F
            elif 0xE0 <= byte <= 0xEF:
                lower = 0xA0 if byte == 0xE0 else lower
                upper = 0x9F if byte == 0xED else upper
                needed, code_point = 2, byte & 0xF
            elif 0xF0 <= byte <= 0xF4:
                lower = 0x90 if byte == 0xF0 else lower
                upper = 0x8F if byte == 0xF4 else upper
                needed, code_point = 3, byte & 0x7
            else:
                chars.append(_Char("\ufffd", place))
            continue
        if not lower <= byte <= upper:
            code_point = seen = needed = 0
            lower, upper = 0x80, 0xBF
            # "Restore byte to the stream": it may begin something of its own.
            place -= 1
            chars.append(_Char("\ufffd", place))
            continue
        lower, upper = 0x80, 0xBF
        code_point = code_point << 6 | byte & 0x3F
        seen += 1
        if seen == needed:
            chars.append(_Char(chr(code_point), place))
            code_point = seen = needed = 0
    if needed != 0:
        chars.append(_Char("\ufffd", place))
    return chars
