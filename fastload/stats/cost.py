"""What the load cost, and what its tokens and requests cost at the rate they came.

    spending rate      = price per hour / 3600 + input tokens/s * price of one + output tokens/s * price of one
    per million output = spending rate / output tokens per second * 1e6      the whole price, charged to the output
    per million tokens = spending rate / (input + output tokens per second) * 1e6
    per request, per good request, per million good output tokens            likewise, over their rates
    total              = price per hour * length of the load, drain included + every token of the run at its price

Rates are those of the measured window, so a warm-up makes nothing dearer; the total is of the whole run. What has no price is not
charged. Pure, and knows nothing of how rates were measured. Invariant: what cannot be computed is None, never 0 and never a part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict

from fastload.plan.model import Price

if TYPE_CHECKING:  # the result holds a cost, so its module imports this one
    from fastload.stats.result import Throughput, Tokens

_HOUR_S: Final = 3600.0
_MILLION: Final = 1e6


class Cost(BaseModel):
    """Prices of what was served, in `currency`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    currency: str
    tokens: Literal["usage", "tokenizer", "events"]
    """Whose count of tokens the prices are of: the server's, or content events."""
    total: float | None
    """Of the whole run, warm-up and drain included."""
    per_hour: float | None
    """Spending rate."""
    per_million_output: float | None
    per_million_tokens: float | None
    """Of input and output tokens together; of input alone where answers have no tokens, as embeddings."""
    per_request: float | None
    per_good_request: float | None
    """Null without an SLO that a single request can meet."""
    per_million_good_output: float | None
    """Of output tokens of the requests that met every SLO."""


def cost_of(
    price: Price, throughput: Throughput, tokens: Tokens, total_s: float, good_output_tokens_per_s: float | None = None
) -> Cost | None:
    """Return what a run cost; None without a price.

    Args:
        price: the plan's.
        throughput: rates over the measured window, goodput filled in.
        tokens: the ledger of the whole run.
        total_s: length of the load, drain included.
        good_output_tokens_per_s: output tokens a second of requests that met every SLO; None where there is no such SLO.
    """
    if price.per_hour is None and price.per_million_input is None and price.per_million_output is None:
        return None
    output_per_s = throughput.output_tokens_per_s
    # A server that counts no output counts no input either: what there is comes from a part of the responses.
    input_per_s = throughput.input_tokens_per_s if tokens.source == "usage" else None
    input_tokens = tokens.input if tokens.source == "usage" else None
    spent_per_s = _sum(
        _charge(price.per_hour, 1 / _HOUR_S),
        _charge(price.per_million_input, _scaled(input_per_s)),
        _charge(price.per_million_output, _scaled(output_per_s)),
    )
    both_per_s = input_per_s if output_per_s is None else _sum(input_per_s, output_per_s)
    return Cost(
        currency=price.currency,
        tokens=tokens.source,
        total=_sum(
            _charge(price.per_hour, total_s / _HOUR_S),
            _charge(price.per_million_input, _scaled(input_tokens)),
            _charge(price.per_million_output, _scaled(tokens.output)),
        ),
        per_hour=None if spent_per_s is None else spent_per_s * _HOUR_S,
        per_million_output=_per(spent_per_s, _scaled(output_per_s)),
        per_million_tokens=_per(spent_per_s, _scaled(both_per_s)),
        per_request=_per(spent_per_s, throughput.requests_per_s),
        per_good_request=_per(spent_per_s, throughput.goodput_per_s),
        per_million_good_output=_per(spent_per_s, _scaled(good_output_tokens_per_s)),
    )


def _charge(price: float | None, amount: float | None) -> float | None:
    """Return the price of an amount: 0 for what has no price, None for an unknown amount of what has one."""
    if price is None:
        return 0.0
    return None if amount is None else price * amount


def _sum(*parts: float | None) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


def _scaled(tokens: float | None) -> float | None:
    return None if tokens is None else tokens / _MILLION


def _per(spent_per_s: float | None, rate: float | None) -> float | None:
    return spent_per_s / rate if spent_per_s is not None and rate else None
