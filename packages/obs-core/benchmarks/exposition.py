# /// script
# requires-python = ">=3.11"
# dependencies = ["prometheus-client>=0.23"]
# ///
"""What a scrape of 10,000 series costs: five counters with 2,000 label values each."""

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from shared.side_by_side import US, compare, named, timed, title

from obs_core import Registry
from obs_core.encoders import exposition


def main() -> None:
    title("Exposition of 10,000 series, one process")
    ours, theirs = Registry(), CollectorRegistry()
    for number in range(5):
        counter = ours.counter(f"orders_{number}", "Orders.", labels=("user", "plan"))
        peer = Counter(f"orders_{number}", "Orders.", ["user", "plan"], registry=theirs)
        for user in range(2000):
            counter.labels(f"user-{user}", "pro").inc(user * 1.5)
            peer.labels(f"user-{user}", "pro").inc(user * 1.5)
    name = named("prometheus-client")
    names = {"ours": ours, "exposition": exposition}
    compare(
        "10,000 series as text 0.0.4",
        {
            US: timed("exposition(ours.collect())", names, 10),
            name: timed("generate(theirs)", {"generate": generate_latest, "theirs": theirs}, 1),
        },
        "budget: 20 times faster",
    )
    compare(
        "10,000 series as OpenMetrics, with _created",
        {
            US: timed("exposition(ours.collect(), openmetrics=True)", names, 10),
            name: timed("generate(theirs)", {"generate": generate_openmetrics, "theirs": theirs}, 1),
        },
    )
    compare("collect() alone, as a publication needs it", {US: timed("ours.collect()", names, 100)})


if __name__ == "__main__":
    main()
