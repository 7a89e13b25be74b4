import os

from django.conf import settings

from obs_core import MemoryStorage
from obs_runtime import EmbeddedRuntime
from obs_storage_sqlite import SQLiteStorage

storage = SQLiteStorage(settings.FOLDER / "obs.db") if "SHOP_FOLDER" in os.environ else MemoryStorage()
runtime = EmbeddedRuntime(storage)
orders = runtime.registry.counter("orders", "Orders placed.")


def let_in(request):
    return request.headers.get("x-role") == "admin"


async def let_in_asynchronously(request):
    return let_in(request)


def let_in_failing(request):
    raise LookupError("no such user")
