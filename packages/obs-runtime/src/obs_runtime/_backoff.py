"""How long to wait before what failed is tried again."""


class BackOff:
    """Longer each time, the last of `waits` (seconds) for ever; times are of the monotonic clock."""

    def __init__(self, *waits: float) -> None:
        self._waits = waits
        self.succeeded()

    def is_early(self, now: float) -> bool:
        """Whether it is too early to try again."""
        return now < self._not_before

    def failed(self, now: float) -> None:
        self._not_before = now + self._waits[min(self._failures, len(self._waits) - 1)]
        self._failures += 1

    def succeeded(self) -> None:
        self._failures, self._not_before = 0, 0.0
