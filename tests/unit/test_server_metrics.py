"""Four engines' own metrics under common names; truth are the engines' texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastload.stats.aside_facts import Scrape
from fastload.stats.server_metrics import parse_scrape

CAPTURE = Path(__file__).parents[2].parent / "shared" / "captures" / "vllm-cpu.metrics.txt"
HISTOGRAM = """\
# TYPE {name} histogram
{name}_bucket{{engine="0",le="0.1"}} 1
{name}_bucket{{engine="0",le="+Inf"}} 3
{name}_sum{{engine="0"}} 0.5
{name}_count{{engine="0"}} 3
"""


def parsed(text: str) -> Scrape:
    found = parse_scrape(text, 7, "default")
    assert found is not None
    return found


def test_a_real_vllm() -> None:
    """What vLLM 0.x on a CPU told after seven requests is found under the common names."""
    if not CAPTURE.exists():
        pytest.skip("the captured metrics are not here")
    found = parsed(CAPTURE.read_text())

    assert (found.engine, found.at_ns, found.target) == ("vllm", 7, "default")
    assert set(found.histograms) == {"ttft", "itl", "e2e", "queue", "prefill", "decode"}
    assert found.histograms["ttft"].count == 7
    assert found.histograms["ttft"].sum_s == 0.1977100372314453
    assert found.gauges == {"running": 0, "waiting": 0, "kv_cache": 0}
    assert (found.counters["input_tokens"], found.counters["preemptions"]) == (122, 0)


@pytest.mark.parametrize(
    ("engine", "name", "key"),
    [
        ("vllm", "vllm:time_per_output_token_seconds", "itl"),
        ("sglang", "sglang:time_to_first_token_seconds", "ttft"),
        ("sglang", "sglang:queue_time_seconds", "queue"),
        ("tgi", "tgi_request_queue_duration", "queue"),
    ],
)
def test_histograms_by_what_they_measure(engine: str, name: str, key: str) -> None:
    """The same quantity has the same name, whatever the engine calls it."""
    found = parsed(HISTOGRAM.format(name=name))

    assert (found.engine, found.histograms[key].counts, found.histograms[key].sum_s) == (engine, (1, 3), 0.5)


@pytest.mark.parametrize(
    ("text", "gauges"),
    [
        (
            "sglang:num_queue_reqs 4\nsglang:num_running_reqs 8\nsglang:token_usage 0.5\n",
            {"waiting": 4, "running": 8, "kv_cache": 0.5},
        ),
        ("tgi_queue_size 3\ntgi_batch_current_size 2\n", {"waiting": 3, "running": 2}),
        ("llamacpp:requests_deferred 1\nllamacpp:requests_processing 2\n", {"waiting": 1, "running": 2}),
    ],
)
def test_gauges_by_what_they_measure(text: str, gauges: dict[str, float]) -> None:
    """Queue, batch and cache have one name each; what an engine does not tell is absent."""
    assert parsed(text).gauges == gauges


def test_engines_of_one_server_are_added_up() -> None:
    """Of a data-parallel server the requests add up, and the fullest cache counts."""
    text = "".join(
        f'vllm:num_requests_waiting{{engine="{i}"}} {i + 1}\nvllm:kv_cache_usage_perc{{engine="{i}"}} 0.{i}\n' for i in range(3)
    )

    assert parsed(text).gauges == {"waiting": 6, "kv_cache": 0.2}


def test_both_names_of_a_renamed_histogram_count_once() -> None:
    """VLLM served the gap histogram under two names for some versions."""
    text = HISTOGRAM.format(name="vllm:inter_token_latency_seconds") + HISTOGRAM.format(name="vllm:time_per_output_token_seconds")

    assert parsed(text).histograms["itl"].count == 3


def test_somebody_else_is_nobody() -> None:
    """Metrics of a program that is no known engine are not read."""
    assert parse_scrape("process_cpu_seconds_total 3\n", 0, "default") is None


def test_a_page_is_an_error() -> None:
    """HTML where metrics should be is told apart from metrics."""
    with pytest.raises(ValueError, match=r".+"):
        parse_scrape("<html><body>hello</body></html>\n", 0, "default")
