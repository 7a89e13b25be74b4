import logging

from django.http import HttpRequest, HttpResponse, JsonResponse

from .observability import amounts, placed

log = logging.getLogger("shop.orders")


class PaymentError(Exception):
    """The bank said no."""


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("the shop is open\n")


def place(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"plan": order(request)}, status=201)


async def place_async(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"plan": order(request)}, status=201)


def pay(request: HttpRequest, order: int) -> JsonResponse:
    """Fails now and then: the bank refuses each fifth order."""
    if order % 5 == 0:
        raise PaymentError(f"no credit for order {order}")
    log.info("order paid", extra={"order": order})
    return JsonResponse({"payment": "done"})


def order_of(request: HttpRequest, customer: str, order: int) -> JsonResponse:
    log.info("order shown", extra={"customer": customer, "order": order})
    return JsonResponse({"customer": customer, "order": order})


def archive(request: HttpRequest, year: str) -> JsonResponse:
    return JsonResponse({"year": int(year)})


def order(request: HttpRequest) -> str:
    """Place an order as the query string says, so that the example needs no form and no token of one."""
    plan = request.GET.get("plan", "free")
    placed.labels(plan).inc()
    amounts.observe(float(request.GET.get("amount", "0")))
    log.info("order placed", extra={"plan": plan})
    return plan
