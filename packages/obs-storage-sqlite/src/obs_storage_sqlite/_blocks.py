"""A block of log entries as columns. Pure: entries in, bytes out.

A block has four parts, so that a query decompresses only what it looks at: `base` (cursors, times, levels, loggers),
`messages`, `attributes` (a frame for each key) and `ids` (trace and span). Where few entries are severe, their
columns of the last three are in `base`: whoever asks for errors opens no more than that.
"""

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from obs_core import LEVELS, SEVERITY, LogEntry, attribute_text

from ._columns import pack_doubles, pack_numbers, pack_texts, pack_words
from ._filters import build, value_key
from ._zstd import MAX_SIZE, compress

BASE, MESSAGES, ATTRIBUTES, IDS = range(4)
PARTS: Final = 4
# JSON writes a control character as six bytes: so much of it in a block, and MessagePack beyond.
_MAX_JSON: Final = MAX_SIZE // 4
_encode: Final = msgspec.msgpack.Encoder().encode
_json: Final = msgspec.json.Encoder()
_of_json: Final = msgspec.json.Decoder()
# Severe entries are kept apart where at most one of so many is, and in so many bytes: each query opens them.
_FEW: Final = 4
_MAX_APART: Final = 128 * 1024
_NUMBER: Final = {level: number for number, level in enumerate(LEVELS)}

# For the number of a level, whether it is severe.
SEVERE: Final = bytes(SEVERITY[level] >= SEVERITY["ERROR"] for level in LEVELS).ljust(256, b"\0")


def encode_block(cursors: Sequence[int], entries: Sequence[LogEntry]) -> list[bytes]:
    """The parts of a block of entries, whose cursors ascend."""
    apart = _severe(entries)
    rest = [entry for entry in entries if not SEVERE[_NUMBER[entry.level]]] if apart else entries
    return [compress(_base(cursors, entries, apart)), *_columns(rest, compress)]


def _severe(entries: Sequence[LogEntry]) -> Sequence[bytes]:
    """The columns of the severe entries as they are; none where they are not few and small."""
    severe = [entry for entry in entries if SEVERE[_NUMBER[entry.level]]]
    if not 0 < len(severe) * _FEW <= len(entries):
        return ()
    columns = _columns(severe, bytes)
    return columns if sum(map(len, columns)) <= _MAX_APART else ()


def _columns(entries: Sequence[LogEntry], pack: Callable[[bytes], bytes]) -> tuple[bytes, bytes, bytes]:
    """Messages, attributes and ids."""
    ids = (
        pack_words([entry.trace_id for entry in entries]),
        pack_words([entry.span_id for entry in entries]),
    )
    return (
        pack(pack_texts([entry.message.encode() for entry in entries])),
        _attributes([entry.attributes for entry in entries], pack),
        pack(_encode(ids)),
    )


def block_filter(entries: Sequence[LogEntry]) -> bytes:
    """The filter of a block: its messages, trace ids and attributes."""
    values = {
        value_key(name, attribute_text(value))
        for entry in entries
        for name, value in entry.attributes.items()
    }
    values.update(value_key("", entry.trace_id) for entry in entries if entry.trace_id)
    return build(folded("".join(entry.message for entry in entries)), values)


def folded(text: str) -> bytes:
    """Text as it is searched: without case, as UTF-8."""
    # A query may hold half of a surrogate pair, which no stored text does.
    return text.casefold().encode(errors="replace")


def _base(cursors: Sequence[int], entries: Sequence[LogEntry], severe: Sequence[bytes]) -> bytes:
    gapless = cursors[-1] - cursors[0] == len(cursors) - 1
    return _encode(
        (
            b"" if gapless else pack_numbers([cursor - cursors[0] for cursor in cursors]),
            pack_doubles(array("d", [entry.timestamp for entry in entries])),
            bytes([_NUMBER[entry.level] for entry in entries]),
            pack_words([entry.logger for entry in entries]),
            severe,
        )
    )


def _attributes(rows: Sequence[dict[str, Any]], pack: Callable[[bytes], bytes]) -> bytes:
    shapes: dict[tuple[str, ...], int] = {}
    kinds = []
    columns: dict[str, list[Any]] = {}
    for row in rows:
        kinds.append(shapes.setdefault(tuple(row), len(shapes)))
        for key, value in row.items():
            column = columns.get(key)
            if column is None:
                columns[key] = [value]
            else:
                column.append(value)
    frames = []
    room = _MAX_JSON
    for column in columns.values():
        data = _values(column, room)
        room -= len(data)
        frames.append(pack(data))
    return _encode((list(shapes), pack(pack_numbers(kinds)), list(columns), frames))


def _values(values: list[Any], room: int) -> bytes:
    """JSON lines, which compress best; MessagePack for what JSON cannot hold (NaN, bytes, a lot of ESC)."""
    try:
        text = _json.encode_lines(values)
        if len(text) < room and _of_json.decode_lines(text) == values:
            return b"j" + text
    except (TypeError, ValueError):
        pass
    return b"m" + _encode(values)
