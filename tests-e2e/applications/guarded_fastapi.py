"""Under FastAPI: also `/own/...`, for whom a dependency lets in, and an application that is mounted at `/obs`."""

from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException
from guarded import log, record_bomb, runtime, tokens

from obs_asgi import ObsApp
from obs_fastapi import create_router, observe


def admin(x_user: Annotated[str, Header()] = "") -> None:
    if x_user != "admin":
        raise HTTPException(status_code=403)


app = FastAPI()
app.include_router(create_router(runtime, access=Depends(admin)), prefix="/own")
app.mount("/obs", ObsApp(runtime, token=tokens))
observe(app, runtime, token=tokens, metrics_access="loopback")


@app.get("/page")
async def page() -> str:
    log.info("shown")
    return "shown"


@app.get("/bomb")
async def bomb() -> None:
    record_bomb()
