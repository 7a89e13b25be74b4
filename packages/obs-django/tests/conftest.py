import asyncio
import os
import sys
from pathlib import Path

import django
import pytest
from django.test import AsyncClient, Client, override_settings

PROJECT = Path(__file__).parent / "project"
sys.path[:0] = [str(PROJECT), str(PROJECT.parent)]
os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
os.environ.pop("OBS_TOKEN", None)
django.setup()

from counted import whole  # noqa: E402


@pytest.fixture
def runtime():
    """A runtime for one test, which the project uses meanwhile."""
    from obs_core import MemoryStorage
    from obs_runtime import EmbeddedRuntime

    runtime = EmbeddedRuntime(MemoryStorage(), signals=False)
    with override_settings(OBS={"RUNTIME": runtime, "TOKEN": "sesame"}):
        yield runtime
    runtime.stop()


class Get:
    """One way of asking: by Django's synchronous or by its asynchronous client. The body is `.body`."""

    def __init__(self, client):
        self.client = client

    async def __call__(self, path, **options):
        if isinstance(self.client, Client):
            return await asyncio.to_thread(lambda: whole(self.client.get(path, **options)))
        response = await self.client.get(path, **options)
        if response.streaming:
            response.body = b"".join([chunk async for chunk in response])
            response.close()
        else:
            response.body = response.content
        return response


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
def get(request):
    return Get(request.param(raise_request_exception=False))
