"""The suites fail on storages that are broken on purpose, each in the test that is about it."""

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.integration

HEAD = """
import pytest_asyncio
from obs_core import LogEntry, LogQuery, MemoryStorage, MetricQuery, MetricSample, StoredLog, matches_log
from obs_core.testing import LogStorageConformance, MetricsStorageConformance
import obs_core._memory as memory

class Broken(memory._Logs):
    {logs}

class BrokenMetrics(memory._Metrics):
    {metrics}

class Sabotaged(MemoryStorage):
    def __init__(self):
        super().__init__()
        self._logs = Broken(100_000)
        self._metrics = BrokenMetrics(100_000)

class TestSabotaged(LogStorageConformance, MetricsStorageConformance):
    @pytest_asyncio.fixture
    async def storage(self):
        async with Sabotaged() as storage:
            yield storage
"""

LOGS = {
    "test_equal_timestamps_are_all_kept": """
    async def write(self, entries):
        await super().write(list({entry.timestamp: entry for entry in entries}.values()))
    """,
    "test_delete_before_is_exclusive_and_tells_how_many": """
    async def delete_before(self, timestamp, *, level=None):
        return await super().delete_before(timestamp + 1e-6, level=level)
    """,
    "test_a_batch_is_written_all_or_none": """
    async def write(self, entries):
        for entry in entries:
            await super().write([entry])
    """,
    "test_a_field_of_another_type_is_refused_with_its_batch": """
    async def write(self, entries):
        self.table._check_all = lambda entries: None
        await super().write(entries)
    """,
    "test_order_is_the_order_of_storing_whatever_the_timestamps": """
    async def read(self, query):
        found = [stored async for stored in super().read(query)]
        for stored in sorted(found, key=lambda s: s.entry.timestamp, reverse=query.order == "desc"):
            yield stored
    """,
    "test_cursors_only_grow_and_are_never_used_again": """
    async def keep_newest(self, count, *, level=None):
        deleted = await super().keep_newest(count, level=level)
        self.table._next = max(self.table._rows, default=0) + 1
        return deleted
    """,
    "test_a_level_means_this_severity_or_worse": """
    async def read(self, query):
        async for stored in super().read(query):
            if query.level is None or stored.entry.level == query.level.upper():
                yield stored
    """,
    "test_filters_hold_together_and_the_limit_counts_what_matches": """
    async def read(self, query):
        import msgspec
        async for stored in super().read(msgspec.structs.replace(query, limit=None)):
            yield stored
    """,
    "test_text_is_a_substring_in_any_case": """
    async def read(self, query):
        async for stored in super().read(query):
            if query.text in stored.entry.message:
                yield stored
    """,
    "test_since_is_inclusive_and_until_exclusive": """
    async def read(self, query):
        async for stored in super().read(query):
            if query.since is None or stored.entry.timestamp > query.since:
                yield stored
    """,
    "test_a_reader_resumes_after_any_entry_with_nothing_lost_or_repeated": """
    async def read(self, query):
        skip = query.after and query.order == "desc"
        async for stored in super().read(query):
            if not skip:
                yield stored
            skip = False
    """,
}
METRICS = {
    "test_the_newest_metadata_of_a_family_wins": """
    async def write(self, samples, metadata=()):
        await super().write(samples, [one for one in metadata if one.name not in self._metadata])
    """,
    "test_metadata_of_another_type_is_refused_with_its_batch": """
    async def write(self, samples, metadata=()):
        self.table.append(samples)
        self._metadata.update({one.name: one for one in metadata})
    """,
    "test_name_and_labels_and_time_are_filters": """
    async def read(self, query):
        async for sample in super().read(MetricQuery(name=query.name, since=query.since, until=query.until)):
            yield sample
    """,
}


def failed_tests(pytester: pytest.Pytester, logs: str, metrics: str) -> set[str]:
    pytester.makepyfile(
        test_sabotaged=HEAD.replace("{logs}", logs.strip()).replace("{metrics}", metrics.strip())
    )
    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=strict", "-rf")
    outcomes = result.parseoutcomes()
    assert outcomes["passed"] > 20, "the suites did not run"
    assert "errors" not in outcomes
    return {
        line.split("::")[-1].split(" ")[0].split("[")[0]
        for line in result.outlines
        if line.startswith("FAILED")
    }


def test_the_suites_pass_on_what_they_are_built_from(pytester):
    assert failed_tests(pytester, "pass", "pass") == set()


@pytest.mark.parametrize("name", LOGS)
def test_a_sabotaged_storage_of_logs_fails_where_it_is_broken(pytester, name):
    assert name in failed_tests(pytester, LOGS[name], "pass")


@pytest.mark.parametrize("name", METRICS)
def test_a_sabotaged_storage_of_metrics_fails_where_it_is_broken(pytester, name):
    assert name in failed_tests(pytester, "pass", METRICS[name])
