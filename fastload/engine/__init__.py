"""The running part: supervisor, workers, users, connections. The only package that uses asyncio."""
