"""The command line: one file per subcommand, each imported only when it is called.

This package alone prints errors and chooses exit codes; `fastload.cli.main` is where both happen. Invariant: `fastload --help`
loads neither numpy nor asyncio.
"""
