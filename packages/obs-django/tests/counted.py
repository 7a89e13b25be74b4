"""What the request metrics of a runtime say."""

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
