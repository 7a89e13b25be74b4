"""The live tail and the bounds of reading, without a server: the pause is the test's own."""

import json
import random

import pytest
import pytest_asyncio
from msgspec.structs import replace

from obs_core import ConfigurationError, LogEntry, LogQuery, StorageError
from obs_core.http import MAX_READINGS, MAX_SEARCHES, MAX_STREAMS, Endpoints, Request, _follow, _pages

pytestmark = pytest.mark.unit


@pytest.fixture
def endpoints(owner):
    return Endpoints(owner, access="open")


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [0.0]
    for module in (_follow, _pages):
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
    return now


async def store(owner, *messages: object, level: str = "INFO") -> None:
    await owner.storage.logs.write([LogEntry(1.0, level, str(message)) for message in messages])


async def never(seconds: float) -> bool:
    return False


def at_once(owner, *rounds):
    """A pause in which these functions are called, one in each, until the process stops."""
    waiting = iter(rounds)

    async def pause(seconds: float) -> bool:
        action = next(waiting, None)
        if action is None:
            return True
        await action()
        return False

    return pause


async def lines(endpoints, query: str, pause=None) -> list[dict]:
    response = await endpoints.logs(Request("GET", query), pause)
    assert response.status == 200, response.body
    text = b"".join([chunk async for chunk in response.body])
    return [json.loads(line) for line in text.splitlines() if line]


def messages(found: list[dict]) -> list[str]:
    return [line["message"] for line in found if "message" in line]


@pytest.mark.asyncio
async def test_following_begins_with_the_newest_ten_and_goes_on(owner, endpoints):
    await store(owner, *range(30))
    pause = at_once(
        owner, lambda: store(owner, "a", "b"), lambda: store(owner), lambda: store(owner, "c"), never_
    )
    assert messages(await lines(endpoints, "follow=true&limit=1", pause)) == [
        *map(str, range(20, 30)),
        "a",
        "b",
        "c",
    ]


async def never_() -> None: ...


@pytest.mark.asyncio
async def test_following_begins_on_an_empty_storage_too(owner, endpoints):
    pause = at_once(owner, never_, lambda: store(owner, "first"), never_, never_)
    assert messages(await lines(endpoints, "follow=true", pause)) == ["first"]


@pytest.mark.asyncio
async def test_following_begins_after_a_cursor_or_at_a_time(owner, endpoints):
    await store(owner, *range(30))
    cursors = [stored.cursor async for stored in owner.storage.logs.read(LogQuery())]
    pause = at_once(owner, lambda: store(owner, "new"), never_)
    assert messages(await lines(endpoints, f"follow=true&after={cursors[27]}", pause)) == ["28", "29", "new"]
    found = messages(await lines(endpoints, "follow=true&since=0", at_once(owner, never_)))
    assert found == [*map(str, range(30)), "new"]


@pytest.mark.asyncio
async def test_following_filters_and_does_not_look_twice_at_what_did_not_answer(owner, endpoints):
    await store(owner, *range(3000))
    looked: list[str] = []
    read = owner.storage.logs.read

    def watched(query):
        if query.level is not None and query.order == "asc":
            looked.append(query.after.rpartition("-")[2])
        return read(query)

    owner.storage.logs.read = watched
    pause = at_once(
        owner,
        lambda: store(owner, "quiet"),
        never_,
        lambda: store(owner, "loud", level="ERROR"),
        never_,
        never_,
        never_,
    )
    endpoints._newest = _Unshared()
    assert messages(await lines(endpoints, "follow=true&level=ERROR", pause)) == ["loud"]
    assert looked == ["3000", "3001"]


class _Unshared(_follow.Newest):
    """Asks at each look, as after a pause of the real length."""

    async def since(self, logs, moment):
        return await _pages.newest(logs)


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    monkeypatch.setattr(_follow, "POLL", 0.0)


@pytest.mark.parametrize("query", ["after=nonsense", "after=0123456789abcdef-1"])
@pytest.mark.asyncio
async def test_a_cursor_that_cannot_be_is_said_before_the_first_byte(owner, endpoints, query):
    await store(owner, "a")
    response = await endpoints.logs(Request("GET", f"follow=true&{query}"), never)
    assert response.status in (400, 410)
    for _ in range(MAX_STREAMS + 1):  # its place is given back
        assert (await endpoints.logs(Request("GET", f"follow=true&{query}"), never)).status == response.status


@pytest.mark.asyncio
async def test_a_blank_line_keeps_a_silent_stream_open(owner, endpoints, clock):
    async def pause(seconds: float) -> bool:
        clock[0] += 5.0
        return clock[0] > 40.0

    response = await endpoints.logs(Request("GET", "follow=true"), pause)
    assert [chunk async for chunk in response.body] == [b"\n", b"\n"]


@pytest.mark.asyncio
async def test_a_stream_ends_after_its_life(owner, clock):
    async def pause(seconds: float) -> bool:
        clock[0] += 1.0
        return False

    response = await Endpoints(owner, access="open", stream_life=8.0).logs(
        Request("GET", "follow=true"), pause
    )
    assert [chunk async for chunk in response.body] == []
    assert clock[0] == 8.0
    with pytest.raises(ConfigurationError, match="stream_life"):
        Endpoints(owner, access="open", stream_life=0)
    with pytest.raises(ConfigurationError, match="stream_life"):
        Endpoints(owner, access="open", stream_life="5m")


@pytest.mark.asyncio
async def test_streams_are_bounded_and_give_their_place_back(owner, endpoints):
    ask = Request("GET", "follow=true")
    streams = [await endpoints.logs(ask, never) for _ in range(MAX_STREAMS)]
    refused = await endpoints.logs(ask, never)
    assert (refused.status, dict(refused.headers)["retry-after"]) == (503, "5")
    await streams[0].body.aclose()
    again = await endpoints.logs(ask, never)
    assert (again.status, dict(again.headers)["x-accel-buffering"]) == (200, "no")
    assert (await endpoints.logs(Request("HEAD", "follow=true"), never)).status == 503
    await again.body.aclose()
    assert (await endpoints.logs(Request("HEAD", "follow=true"), never)).body == b""
    assert (await endpoints.logs(ask, never)).status == 200


@pytest.mark.asyncio
async def test_readings_are_bounded_and_give_their_place_back(owner, endpoints):
    ask = Request("GET", "since=1h")
    readings = [await endpoints.logs(ask) for _ in range(MAX_READINGS)]
    refused = await endpoints.logs(ask)
    assert (refused.status, dict(refused.headers)["retry-after"]) == (503, "5")
    await readings[0].body.aclose()
    assert (await endpoints.logs(Request("GET", "after=x"))).status == 400
    assert (await endpoints.logs(ask)).status == 200


@pytest.mark.asyncio
async def test_text_searches_are_bounded_and_a_stream_waits_for_its_turn(owner, endpoints):
    await store(owner, "needle")
    searches = [await endpoints.logs(Request("GET", "q=needle")) for _ in range(MAX_SEARCHES)]
    refused = await endpoints.logs(Request("GET", "q=needle"))
    assert (refused.status, dict(refused.headers)["retry-after"]) == (503, "5")
    assert (await endpoints.logs(Request("GET", "level=INFO"))).status == 200

    async def end_one() -> None:
        await searches[0].body.aclose()

    pause = at_once(owner, lambda: store(owner, "a needle"), never_, end_one, never_, never_)
    assert messages(await lines(endpoints, "q=NEEDLE&follow=true", pause)) == ["needle", "a needle"]
    await searches[1].body.aclose()
    assert messages(await lines(endpoints, "q=needle")) == ["needle", "a needle"]


@pytest.mark.asyncio
async def test_a_stream_outlives_a_storage_that_fails_for_a_while(owner, endpoints):
    await store(owner, "before")
    read = owner.storage.logs.read

    async def broken() -> None:
        await store(owner, "after")
        owner.storage.logs.read = failing

    async def mended() -> None:
        owner.storage.logs.read = read

    async def failing(query):
        raise StorageError("busy")
        yield

    pause = at_once(owner, broken, never_, mended, never_, never_)
    assert messages(await lines(endpoints, "follow=true", pause)) == ["before", "after"]
    assert owner.reports == []


@pytest.mark.parametrize(
    "query", ["follow=true", "since=0&limit=10000", "limit=5000", "order=desc&limit=5000"]
)
@pytest.mark.asyncio
async def test_nothing_is_open_in_the_storage_while_a_client_takes_its_time(owner, endpoints, query):
    await store(owner, *range(5000))
    read, opened = owner.storage.logs.read, []

    async def watched(asked):
        opened.append(asked)
        try:
            async for stored in read(asked):
                yield stored
        finally:
            opened.remove(asked)

    owner.storage.logs.read = watched
    pause = at_once(owner, lambda: store(owner, "new"), never_)
    response = await endpoints.logs(Request("GET", query), pause)
    assert opened == []
    async for _ in response.body:
        assert opened == []


@pytest_asyncio.fixture
async def slow(owner, clock):
    """A storage with a few needles that takes two seconds for each thousand entries."""
    await store(owner, *(f"x{number}" if number % 700 == 0 else number for number in range(5000)))
    read = owner.storage.logs.read

    def reading(asked):
        def progress(cursor: str) -> None:
            clock[0] += 2.0
            if asked.progress is not None:
                asked.progress(cursor)

        return read(replace(asked, progress=progress))

    owner.storage.logs.read = reading
    return [f"x{number}" for number in range(0, 5000, 700)]


@pytest.mark.parametrize("query", ["since=0&limit=5000&q=x", "order=desc&limit=5000&q=x"])
@pytest.mark.asyncio
async def test_a_reading_that_takes_too_long_says_where_to_go_on(endpoints, slow, query):
    found, rounds, cursor = [], 0, ""
    while rounds < 20:
        page = await lines(endpoints, f"{query}{f'&after={cursor}' if cursor else ''}")
        found += messages(page)
        rounds += 1
        if not page or "incomplete" not in page[-1]:
            break
        cursor = page[-1]["cursor"]
        assert page[-1]["incomplete"].endswith(f"after={cursor}")
    assert found == (slow if "since" in query else slow[::-1])
    assert 1 < rounds < 20


@pytest.mark.asyncio
async def test_the_newest_that_are_found_in_time_are_given_and_the_older_are_named(endpoints, slow):
    page = await lines(endpoints, "q=x")
    assert 0 < len(messages(page)) < len(slow)
    assert f"order=desc&after={page[-1]['cursor']}" in page[-1]["incomplete"]
    older = await lines(endpoints, f"q=x&order=desc&after={page[-1]['cursor']}")
    assert messages(older)[::-1] + messages(page) == slow


@pytest.mark.parametrize("query", ["q=x", "q=x&limit=10000", "limit=2500", "level=ERROR"])
@pytest.mark.asyncio
async def test_the_newest_are_looked_for_once(owner, endpoints, query):
    await store(owner, *(f"x{number}" if number % 700 == 0 else number for number in range(5000)))
    read, looked = owner.storage.logs.read, []

    async def watched(asked):
        looked.append(asked.order)
        async for stored in read(asked):
            yield stored

    owner.storage.logs.read = watched
    found = messages(await lines(endpoints, query))
    whole = {"limit=2500": [str(n) if n % 700 else f"x{n}" for n in range(2500, 5000)], "level=ERROR": []}
    assert found == whole.get(query, [f"x{number}" for number in range(0, 5000, 700)])
    assert set(looked) == {"desc"}


@pytest.mark.asyncio
async def test_the_newest_that_are_too_many_to_be_kept_are_all_given(owner, endpoints):
    await store(owner, *(f"{number} {'y' * 50_000}" for number in range(100)))
    assert [word.split()[0] for word in messages(await lines(endpoints, "limit=90"))] == [
        str(number) for number in range(10, 100)
    ]


@pytest.mark.asyncio
async def test_large_entries_make_more_pages_not_larger_ones(owner, endpoints):
    await store(owner, *("y" * 60_000 for _ in range(50)))
    response = await endpoints.logs(Request("GET", "limit=50"))
    sizes = [len(chunk) async for chunk in response.body]
    assert len(sizes) > 2
    assert max(sizes) < 1_200_000


@pytest.mark.asyncio
async def test_a_hundred_broken_streams_lose_and_repeat_nothing(owner, endpoints):
    chance = random.Random(7)
    sent, received, cursor = 0, [], ""
    await store(owner, "begin")
    for _ in range(100):
        left = chance.randrange(1, 6)

        async def write() -> None:
            nonlocal sent
            for _ in range(chance.randrange(4)):
                sent += 1
                await store(owner, sent)

        query = f"follow=true&after={cursor}" if cursor else "follow=true"
        response = await endpoints.logs(Request("GET", query), at_once(owner, *[write] * 8))
        async for chunk in response.body:
            for line in chunk.splitlines():
                entry = json.loads(line)
                received.append(entry["message"])
                cursor = entry["cursor"]
                left -= 1
                if not left:
                    break
            if left <= 0:
                break
        await response.body.aclose()
    response = await endpoints.logs(Request("GET", f"limit=10000&after={cursor}"))
    received += [json.loads(line)["message"] async for chunk in response.body for line in chunk.splitlines()]
    assert received == ["begin", *map(str, range(1, sent + 1))]
