"""Load on a service, and a scraper that watches its totals meanwhile."""

import http.client
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from .page import Page, metrics_of
from .service import Service


@dataclass
class Sent:
    """What the clients know: answers that came, with the worker that gave each, and requests that failed."""

    answered: list[tuple[float, str]] = field(default_factory=list)
    failed: int = 0

    def by(self, worker: int, since: float, until: float) -> int:
        """How many answers of this worker came between two instants (monotonic)."""
        return sum(1 for when, who in self.answered if who == str(worker) and since <= when <= until)


class Load:
    """Clients that ask for `/place/NUMBER`, each on a new connection, until `count` were asked or `stop`."""

    def __init__(self, service: Service, count: int, clients: int = 4) -> None:
        self.sent = Sent()
        self._port = service.server.port
        self._numbers = iter(range(count))
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def finish(self, deadline: float = 120.0) -> Sent:
        """Wait until all is sent."""
        end = time.monotonic() + deadline
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
            assert not thread.is_alive(), f"the load did not end within {deadline} s"
        return self.sent

    def stop(self) -> Sent:
        """Send no more; what was sent."""
        self._stopping.set()
        return self.finish()

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            worker = self._ask(f"/place/{number}")
            with self._lock:
                if worker:
                    self.sent.answered.append((time.monotonic(), worker))
                else:
                    self.sent.failed += 1

    def _ask(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", path, headers={"connection": "close"})
            response = connection.getresponse()
            body = response.read().decode()
            return body if response.status == 200 else ""
        except (OSError, http.client.HTTPException):
            return ""
        finally:
            connection.close()


class Scraper:
    """Scrapes without pause while it is entered, and notes every total that went down between two scrapes.

    Totals whose name is in `ignore` are not looked at. `pause` is for seconds between two scrapes.
    """

    def __init__(self, service: Service, ignore: tuple[str, ...] = (), pause: float = 0.0) -> None:
        self._pause = pause
        self._ignore = ignore
        self.scrapes = 0
        self.failed = 0
        self.fell: list[str] = []
        self._service = service
        self._headers = service.headers
        self._last: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stopping.is_set():
            time.sleep(self._pause)
            page = self._scrape()
            if page is None:
                self.failed += 1
                time.sleep(0.01)
            else:
                self.scrapes += 1
                self._compare(page.totals())

    def _compare(self, totals: dict[str, float]) -> None:
        self.fell += [
            f"{key}: {value} to {totals.get(key)}"
            for key, value in self._last.items()
            if totals.get(key, -1.0) < value and not key.startswith(self._ignore or "\n")
        ]
        self._last = totals

    def _scrape(self) -> Page | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._service.server.port, timeout=30)
        try:
            connection.request("GET", "/metrics", headers={**self._headers, "connection": "close"})
            response = connection.getresponse()
            text = response.read().decode()
            return metrics_of(text) if response.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
