"""`tools/picture.py` draws what the benchmarks print."""

import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import bench
import picture
import pytest

pytestmark = pytest.mark.integration
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def printed(capsys):
    """Two measurements in the form in which the benchmarks print them, and lines that are none."""
    shared = runpy.run_path(str(bench.SHARED / "shared" / "side_by_side.py"))
    print("\n# Instruments\n# obs-core 0.1.0, Python 3.11.7, median of 7 rounds in turns")
    shared["rows"](
        "counter: inc() of a bound series",
        {"obs-core": [5e-8], "prometheus-client 0.26.0": [3e-7], "opentelemetry-sdk <1.45>": [5e-6]},
        "budget: 4 times faster, 10 times the multiprocess mode",
    )
    shared["rows"]("log.info with extra", {"obs-core": [4e-6], "QueueHandler and SimpleQueue": [2e-6]})
    print(f"{'':44} {'NullHandler, the call itself':40} {'1.20 us':>10}")
    shared["fewer"]("GET /", {"without": lambda: 900.0, "with us": lambda: 890.0}, "without", "", 1)
    return capsys.readouterr().out


def test_each_peer_is_read_with_what_was_measured_and_its_ratio(printed):
    assert picture.bars(printed.splitlines()) == [
        ("counter: inc() of a bound series", "prometheus-client 0.26.0", 6.0),
        ("counter: inc() of a bound series", "opentelemetry-sdk <1.45>", 100.0),
        ("log.info with extra", "QueueHandler and SimpleQueue", 0.5),
    ]


def test_the_picture_has_a_bar_for_each_peer_as_long_as_its_ratio_and_names_each_measurement_once(printed):
    command = [sys.executable, str(Path(picture.__file__))]
    done = subprocess.run(command, input=printed, capture_output=True, text=True, timeout=60, check=True)
    drawn = ElementTree.fromstring(done.stdout)
    widths = [float(bar.get("width")) for bar in drawn.iter(f"{SVG}rect")]
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert len(widths) == 3
    assert widths[2] <= 1 < widths[0] < widths[1]
    assert texts.count("counter: inc() of a bound series") == 1
    assert "100  opentelemetry-sdk <1.45>" in texts
