"""The JSON Schema of `summary.json`, generated from the models of `fastload.stats.result`.

Run `python -m fastload.stats.schema` to print it, with `--write` to refresh the copy that is shipped.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from fastload.stats.result import SCHEMA, Summary

SCHEMA_PATH: Final = Path(__file__).parents[1] / "report" / "summary.schema.json"
"""The shipped copy; package data of `fastload.report`."""


def json_schema() -> dict[str, Any]:
    """Return the schema as JSON values (draft 2020-12); null fields are required too, so that "no data" is always said."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        **Summary.model_json_schema(mode="serialization"),
    }


def schema_text() -> str:
    """Return the content of the shipped file."""
    return json.dumps(json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        SCHEMA_PATH.write_text(schema_text())
    else:
        sys.stdout.write(schema_text())
