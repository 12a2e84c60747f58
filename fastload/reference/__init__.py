"""The pages of `docs/reference`, written from the code: every flag, plan key, key of a result, metric, column and exit code."""
