"""All pages of the reference by name. Invariant: each says that it is generated and by what."""

from __future__ import annotations

from fastload.reference.flags import flags_page
from fastload.reference.metrics import columns_page, exit_codes_page, metrics_page
from fastload.reference.models import plan_page, result_page


def pages() -> dict[str, str]:
    """Return the text of every page, by file name."""
    made = {
        "exit-codes.md": exit_codes_page(),
        "flags.md": flags_page(),
        "metrics.md": metrics_page(),
        "plan.md": plan_page(),
        "requests-csv.md": columns_page(),
        "result.md": result_page(),
    }
    note = "<!-- Generated from the code: python -m fastload.reference --write -->\n\n"
    return {name: note + text for name, text in made.items()}
