"""A little traffic for the shop of `examples/fastapi_example.py`: orders, payments, slow pages, unknown paths."""

import http.client
import json
import random
import secrets
from collections.abc import Iterator
from threading import Event
from typing import NamedTuple

PAUSE = 0.2
TIMEOUT = 10.0


class Request(NamedTuple):
    method: str
    path: str
    body: dict[str, object] | None = None


def visits(seed: int | None = None) -> Iterator[Request]:
    """What customers do, without end. The same seed gives the same."""
    chance = random.Random(seed)  # noqa: S311  # nothing secret
    order = 0
    while True:
        order += 1
        plan = chance.choice(("free", "pro", "team"))
        yield Request("POST", "/orders", {"plan": plan, "amount": round(chance.uniform(5, 500), 2)})
        yield Request("POST", f"/orders/{order}/payment")
        yield Request("GET", f"/customers/{chance.choice(('ada', 'grace', 'linus'))}/orders/{order}")
        yield Request("GET", f"/stock/items/{chance.choice(('kettle', 'lamp', 'chair'))}")
        if order % 4 == 0:
            yield Request("GET", "/report?seconds=0.3")
        if order % 7 == 0:
            yield Request("GET", "/no/such/page")


def headers() -> dict[str, str]:
    """Each request is the root of a trace, as a browser's would be."""
    trace = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    return {"content-type": "application/json", "traceparent": trace}


def send(host: str, port: int, stopping: Event, pause: float = PAUSE) -> int:
    """Send visits until `stopping` is set; how many were answered. A server that is away is tried again."""
    answered = 0
    for visit in visits():
        if stopping.wait(pause):
            return answered
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
        try:
            body = None if visit.body is None else json.dumps(visit.body)
            connection.request(visit.method, visit.path, body, headers())
            connection.getresponse().read()
            answered += 1
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
    return answered
