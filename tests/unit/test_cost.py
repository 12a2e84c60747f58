"""What tokens and requests cost: the documented formulas, worked out by hand, and silence where there is no number."""

from __future__ import annotations

from typing import Any

import pytest

from fastload.plan.model import Price
from fastload.report.cost import cost_lines
from fastload.stats.cost import Cost, cost_of
from fastload.stats.result import Throughput, Tokens


def cost(price: dict[str, Any], *, good: float | None = None, source: str = "usage", **rates: float | None) -> Cost | None:
    """Return the cost of a run of 1,800 s with 2M output and 8M input tokens, at 10 requests and 1,000 (4,000) tokens a second."""
    throughput = {
        "requests_per_s": 10.0,
        "output_tokens_per_s": 1000.0,
        "input_tokens_per_s": 4000.0,
        "goodput_per_s": None,
        **rates,
    }
    tokens = Tokens.model_validate({"output": 2_000_000, "input": 8_000_000, "events": 2_000_000, "source": source})
    return cost_of(Price.model_validate(price), Throughput.model_validate(throughput), tokens, 1800.0, good)


def known(found: Cost | None) -> dict[str, float]:
    assert found is not None
    numbers = found.model_dump(exclude={"currency", "tokens"}, exclude_none=True)
    return {name: pytest.approx(value) for name, value in numbers.items()}


def test_no_price_no_cost() -> None:
    """Without a price there is nothing to compute, and no line in the report."""
    assert cost({"currency": "EUR"}) is None
    assert cost_lines(None) == []


def test_price_per_hour() -> None:
    """3.60 an hour is 0.001 a second: over 1,000 tokens/s 1.00 a million, over 10 requests/s 0.0001 each; half an hour is half."""
    assert known(cost({"per_hour": 3.6})) == {
        "total": 1.8,
        "per_hour": 3.6,
        "per_million_output": 1.0,
        "per_million_tokens": 0.2,
        "per_request": 0.0001,
    }


def test_price_per_token() -> None:
    """2 per million in and 10 out at 4,000 and 1,000 a second are 0.018 a second; the run's 8M and 2M come to 36."""
    assert known(cost({"per_million_input": 2, "per_million_output": 10})) == {
        "total": 36.0,
        "per_hour": 64.8,
        "per_million_output": 18.0,
        "per_million_tokens": 3.6,
        "per_request": 0.0018,
    }


def test_what_has_no_price_is_not_charged() -> None:
    """With a price of output alone, a million output tokens cost just that."""
    found = cost({"per_million_output": 10}, input_tokens_per_s=None)
    assert found is not None
    assert (found.per_million_output, found.total, found.per_million_tokens) == (pytest.approx(10.0), 20.0, None)


def test_prices_add_up() -> None:
    """A server by the hour whose tokens are charged as well costs both."""
    found = cost({"per_hour": 3.6, "per_million_output": 10})
    assert found is not None
    assert (found.per_million_output, found.total) == (pytest.approx(11.0), pytest.approx(21.8))


def test_good_requests_and_tokens() -> None:
    """Bad requests are paid by the good ones: half as many good ones cost twice as much each."""
    found = cost({"per_hour": 3.6}, goodput_per_s=5.0, good=250.0)
    assert found is not None
    assert (found.per_good_request, found.per_million_good_output) == (pytest.approx(0.0002), pytest.approx(4.0))


@pytest.mark.parametrize("rate", [None, 0.0])
def test_no_throughput_no_price_of_it(rate: float | None) -> None:
    """Where nothing came or nothing was measured there is no price of one, while the run still cost what it cost."""
    found = cost(
        {"per_hour": 3.6}, requests_per_s=rate, output_tokens_per_s=rate, input_tokens_per_s=None, goodput_per_s=rate, good=rate
    )
    assert known(found) == {"total": 1.8, "per_hour": 3.6}


def test_uncounted_input_has_no_price() -> None:
    """A server that counts some responses' tokens only leaves the cost of input unknown instead of too low."""
    found = cost({"per_million_input": 2}, source="events")
    assert known(found) == {}
    assert cost_lines(found) == ["Cost unknown USD per 1M output tokens (content events); the run unknown"]


def test_embeddings_cost_their_input() -> None:
    """Where answers have no tokens the price is of the input: 0.001 a second over 4,000 tokens/s is 0.25 a million."""
    found = cost({"per_hour": 3.6}, output_tokens_per_s=None)
    assert found is not None
    assert (found.per_million_output, found.per_million_tokens) == (None, pytest.approx(0.25))
    assert cost_lines(found) == ["Cost 0.250 USD per 1M input tokens, 0.000100 per request; the run 1.80"]


def test_whose_tokens_it_is_the_price_of() -> None:
    """A tokenizer's count is not called content events."""
    lead = "per 1M output tokens (a tokenizer's count)"
    assert lead in cost_lines(cost({"per_hour": 3.6}, source="tokenizer"))[0]


def test_lines() -> None:
    """Amounts have two decimals or three digits; the second line is there when there is an SLO to be good by."""
    assert cost_lines(cost({"per_hour": 3.6, "currency": "€"}, goodput_per_s=5.0, good=250.0)) == [
        "Cost 1.00 € per 1M output tokens, 0.200 per 1M tokens in and out, 0.000100 per request; the run 1.80",
        "     4.00 € per 1M good output tokens, 0.000200 € per good request (those that met every SLO)",
    ]
    assert len(cost_lines(cost({"per_hour": 3.6}))) == 1


def test_terminal_is_safe_from_the_currency() -> None:
    """A currency of control characters does not steer the terminal."""
    assert "\x1b" not in cost_lines(cost({"per_hour": 3.6, "currency": "\x1b[31m"}))[0]
