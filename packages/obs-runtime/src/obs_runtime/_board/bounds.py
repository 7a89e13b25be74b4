"""How many series the dead leave: as many of a metric as a service may have. Nothing here does I/O."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Final

from obs_core.encoders import parse_series_key, series_key

from .model import Column, Published

# As in the registry of each worker.
SERIES: Final = 2000
OVERFLOW: Final = "_overflow"
# A gauge `latest` that nobody has set for so long goes; who sets one each month is in time.
_LATEST: Final = 35 * 86400.0


Shown = Callable[[str], Container[str]]


def moved(column: Column, known: Mapping[str, float], worker: Published, shown: Shown) -> Mapping[str, str]:
    """Where those series of a dead worker go that have no place of their own beside 2,000 that are known.

    That is the series whose labels all read `_overflow`, but for the service. What others show too, as `shown` says of
    a metric, stays in any case: without the dead worker's part it would fall.
    """
    if len(known) + len(column.keys) <= SERIES:
        return {}
    name = column.metadata.name
    room = SERIES - sum(key.startswith(f"{name}_count") or not _is_wide(column) for key in known)
    others = shown(name)
    admitted: set[str] = set()
    without: list[str] = []
    for key in column.keys:
        one = _count_key(key, name) if _is_wide(column) else key
        if one in known or one in admitted or one in others:
            continue
        if len(admitted) < room:
            admitted.add(one)
        else:
            without.append(key)
    service = service_of(worker) if without else None
    return {key: _overflow(key, service, wide=_is_wide(column)) for key in without}


def service_of(worker: Published) -> str | None:
    """The service in the labels of all that a worker has, if it says one."""
    keys = (key for column in worker.columns for key in column.keys)
    service = parse_series_key(next(keys, ""))[1].get("service")
    if service is None or any(parse_series_key(key)[1].get("service") != service for key in keys):
        return None
    return service


def newest(times: Mapping[str, float], now: float) -> Sequence[str]:
    """Which series of a gauge `latest` stay: the 2,000 that were set last, of those not set too long ago."""
    young = [key for key, time in times.items() if now - time <= _LATEST]
    return sorted(young, key=times.__getitem__, reverse=True)[:SERIES]


def _is_wide(column: Column) -> bool:
    """A series of a histogram is many keys, one of them its count."""
    return column.metadata.kind == "histogram"


def _count_key(key: str, name: str) -> str:
    labels = parse_series_key(key)[1]
    labels.pop("le", None)
    return series_key(f"{name}_count", labels)


def _overflow(key: str, service: str | None, *, wide: bool) -> str:
    name, labels = parse_series_key(key)
    kept = {"le"} if wide else set()
    if service is not None:
        kept.add("service")
    return series_key(name, {label: text if label in kept else OVERFLOW for label, text in labels.items()})
