from asgiref.sync import iscoroutinefunction
from django.http import HttpResponse
from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def forgive(get_response):
    if iscoroutinefunction(get_response):

        async def forgiving(request):
            response = await get_response(request)
            return HttpResponse("sorry") if response.status_code == 500 else response
    else:

        def forgiving(request):
            response = get_response(request)
            return HttpResponse("sorry") if response.status_code == 500 else response

    return forgiving


def break_down(get_response):
    def breaking(request):
        raise LookupError("the middleware failed")

    return breaking
