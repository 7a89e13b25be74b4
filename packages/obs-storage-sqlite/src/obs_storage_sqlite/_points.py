"""Samples as they are written: a row for each instant, with the series and their values. Pure."""

from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from obs_core import MetricSample
from obs_core.checks import check_samples

from ._columns import array_of, bytes_of, pack_numbers, unpack_numbers, unzigzag, zigzag
from ._headers import stored_size
from ._zstd import compress, decompress

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(dict[str, str]).decode

INSERT_POINT: Final = (
    "INSERT INTO points (id, timestamp, samples, size, series, checksum, data) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
# The name of a series and its labels, in one spelling whatever their order.
SeriesKey = tuple[str, bytes]


class Instant(NamedTuple):
    """What was sampled at one time; no series twice."""

    timestamp: float
    keys: list[SeriesKey]
    values: "array[float]"


def instants(samples: Sequence[MetricSample]) -> list[Instant]:
    """The rows of a batch, in its order. Raises `TypeError` for what cannot be stored."""
    check_samples(samples)
    try:
        "".join({sample.name for sample in samples}).encode()
        return _instants(samples)
    except (ValueError, OverflowError) as error:
        raise TypeError(f"a MetricSample cannot be stored, so nothing of the batch was: {error}") from error


def _instants(samples: Sequence[MetricSample]) -> list[Instant]:
    rows: list[Instant] = []
    seen: set[SeriesKey] = set()
    for sample in samples:
        key = sample.name, encode_labels(sample.labels)
        if not rows or rows[-1].timestamp != sample.timestamp or key in seen:
            rows.append(Instant(sample.timestamp, [], array("d")))
            seen = set()
        seen.add(key)
        rows[-1].keys.append(key)
        rows[-1].values.append(sample.value)
    return rows


def encode_labels(labels: Mapping[str, str]) -> bytes:
    """The labels of a key."""
    return _encode(dict(sorted(labels.items())))


def labels_of(packed: bytes) -> dict[str, str]:
    """The labels of `encode_labels`."""
    return _decode(packed)


def pack_series(ids: Sequence[int]) -> bytes:
    """The ids of the series of a row, in its order: mostly one after another, so next to nothing."""
    steps = zigzag([after - before for before, after in zip([0, *ids], ids, strict=False)])
    return compress(len(ids).to_bytes(4, "little") + pack_numbers(steps))


def unpack_series(data: bytes) -> list[int]:
    """The ids of `pack_series`."""
    raw = decompress(data)
    return list(accumulate(unzigzag(unpack_numbers(raw[4:], int.from_bytes(raw[:4], "little")))))


def pack_values(values: "array[float]") -> bytes:
    """As they are: a reader of one series picks its values without decoding the others."""
    return bytes_of(values)


def unpack_values(data: bytes) -> "array[float]":
    """The values of `pack_values`."""
    return array_of("d", data)


def point(
    id_: int, timestamp: float, samples: int, series: bytes, data: bytes
) -> tuple[int, float, int, int, bytes, int, bytes]:
    """The columns of a row of `points`."""
    size = stored_size(data) + len(series) + 40
    return id_, timestamp, samples, size, series, crc32(series + data), data


class SeriesCache:
    """Unpacks lists of series once: thousands of rows share a few of them."""

    def __init__(self) -> None:
        self._lists: dict[bytes, list[int]] = {}
        self._places: dict[bytes, dict[int, int]] = {}
        self._orders: dict[tuple[bytes, ...], dict[int, int]] = {}

    def ids(self, packed: bytes) -> list[int]:
        """The series of a row, in its order."""
        found = self._lists.get(packed)
        if found is None:
            found = self._lists[packed] = unpack_series(packed)
        return found

    def places(self, packed: bytes) -> dict[int, int]:
        """Where each series stands in the row."""
        found = self._places.get(packed)
        if found is None:
            found = self._places[packed] = {id_: place for place, id_ in enumerate(self.ids(packed))}
        return found

    def order(self, lists: Sequence[bytes]) -> dict[int, int]:
        """The place of each series among all of some lists, by the order of their ids."""
        key = tuple(lists)
        found = self._orders.get(key)
        if found is None:
            series = sorted(set().union(*map(self.ids, lists)))
            found = self._orders[key] = {id_: place for place, id_ in enumerate(series)}
        return found
