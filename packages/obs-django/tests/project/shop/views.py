import asyncio
import logging
import threading
from pathlib import Path

from django.http import FileResponse, Http404, HttpResponse, StreamingHttpResponse

from .obs import orders

log = logging.getLogger("shop")


def hello(request, **parameters):
    log.warning("hello", extra={"order": 7})
    return HttpResponse("hello")


async def hello_async(request):
    await asyncio.sleep(0)
    log.warning("hello", extra={"order": 7})
    return HttpResponse("hello", headers={"x-request-id": "the application's"})


def order(request, order_id):
    orders.inc()
    log.warning("order", extra={"number": order_id})
    return HttpResponse(str(order_id))


def missing(request, order_id):
    raise Http404("no such order")


def fail(request):
    raise LookupError("the host failed")


async def fail_async(request):
    raise LookupError("the host failed")


def broken(request):
    return HttpResponse("broken", status=503)


def stream(request):
    def chunks():
        for number in range(3):
            log.warning("chunk", extra={"number": number})
            yield f"{number}\n"

    return StreamingHttpResponse(chunks())


async def stream_async(request):
    async def chunks():
        for number in range(int(request.GET.get("chunks", 3))):
            await asyncio.sleep(0.01)
            log.warning("chunk", extra={"number": number})
            yield f"{number}\n"

    return StreamingHttpResponse(chunks())


def stream_fails(request):
    def chunks():
        yield "0\n"
        raise LookupError("the host failed")

    return StreamingHttpResponse(chunks())


def file(request):
    return FileResponse(Path(__file__).open("rb"))


async def slow(request):
    await asyncio.sleep(60)


async def thread(request):
    return HttpResponse(str(threading.get_ident()))


def burst(request, size):
    for number in range(size):
        log.warning("burst", extra={"number": number})
    return HttpResponse("done")
