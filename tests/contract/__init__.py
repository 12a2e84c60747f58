"""The native core against oracles written in Python."""
