"""One client for all requests: each is sent on a connection of its own, so that any worker may answer it."""

import httpx

CLIENT = httpx.Client(timeout=20, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
