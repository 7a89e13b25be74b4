"""A small shop with FastAPI: `uvicorn fastapi_example:app`.

The history and the token are kept in the folder `OBS_DATA` (default `obs-data`).
"""

import asyncio
import logging
import os
from itertools import count
from pathlib import Path

from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import BaseModel

from obs_fastapi import observe
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

runtime = EmbeddedRuntime(SQLiteStorage(Path(os.environ.get("OBS_DATA", "obs-data")) / "obs.db"))
placed = runtime.registry.counter("orders_total", "Orders placed.", labels=("plan",))
unpaid = runtime.registry.gauge("orders_unpaid", "Orders that wait for their payment.")
amounts = runtime.registry.histogram("order_amount_euros", "Amounts of orders.", buckets=(10, 100, 1000))
log = logging.getLogger("shop.orders")
numbers = count(1)


class Order(BaseModel):
    plan: str = "free"
    amount: float = 0.0


class PaymentError(Exception):
    """The bank said no."""


app = FastAPI(title="shop")
customers = APIRouter(prefix="/customers/{customer}")
stock = FastAPI(title="stock")


@app.get("/")
async def index() -> dict[str, str]:
    return {"shop": "open"}


@app.post("/orders", status_code=201)
async def place(order: Order) -> dict[str, int]:
    number = next(numbers)
    placed.labels(order.plan).inc()
    unpaid.inc()
    amounts.observe(order.amount)
    log.info("order placed", extra={"order": number, "plan": order.plan, "amount": order.amount})
    return {"order": number}


@app.post("/orders/{order}/payment")
async def pay(order: int) -> dict[str, str]:
    """Fails now and then: the bank refuses each fifth order."""
    try:
        charge(order)
    except PaymentError as error:
        log.error("payment failed", exc_info=True, extra={"order": order})
        raise HTTPException(502, "the bank refused") from error
    unpaid.dec()
    log.info("order paid", extra={"order": order})
    return {"payment": "done"}


@app.get("/report")
async def report(seconds: float = 0.3) -> dict[str, float]:
    """A slow page."""
    await asyncio.sleep(min(seconds, 5.0))
    log.warning("slow report", extra={"seconds": seconds})
    return {"seconds": seconds}


@customers.get("/orders/{order}")
async def order_of(customer: str, order: int) -> dict[str, str | int]:
    log.info("order shown", extra={"customer": customer, "order": order})
    return {"customer": customer, "order": order}


@stock.get("/items/{item}")
async def item(item: str) -> dict[str, str]:
    return {"item": item}


def charge(order: int) -> None:
    if order % 5 == 0:
        raise PaymentError(f"no credit for order {order}")


app.include_router(customers)
app.mount("/stock", stock)
observe(app, runtime)
