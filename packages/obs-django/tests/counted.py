"""What came back, and what the request metrics of a runtime say of it."""

NAME = "http_server_request_duration_seconds_count"


def counts(runtime) -> dict[str, float]:
    return {
        key.removeprefix(NAME): value
        for family in runtime.collect()
        for key, value in zip(family.keys, family.values, strict=True)
        if key.startswith(NAME)
    }


def active(runtime) -> float:
    (family,) = [one for one in runtime.collect() if one.metadata.name == "http_server_active_requests"]
    return sum(family.values)


def series(route="_unmatched", status=200, error="", method="GET") -> str:
    return (
        f'{{http_request_method="{method}",http_route="{route}",http_response_status_code="{status}",'
        f'url_scheme="http",error_type="{error}"}}'
    )


def sizes(runtime, kind) -> dict[str, float]:
    """The sum of the sizes by route."""
    return {
        key.partition('http_route="')[2].partition('"')[0]: value
        for family in runtime.collect()
        for key, value in zip(family.keys, family.values, strict=True)
        if key.startswith(f"http_server_{kind}_body_size_bytes_sum")
    }


def whole(response):
    """A response of the synchronous client, closed, with all of it in `.body`."""
    response.body = b"".join(response) if response.streaming else response.content
    response.close()
    return response
