"""A bound on what goes on at once in a worker."""

from threading import Lock


class Slots:
    """So many at once; `take` tells whether there was room, and who was let in calls `free`."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._lock = Lock()

    def take(self) -> bool:
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def free(self) -> None:
        with self._lock:
            self._free += 1
