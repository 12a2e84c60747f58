"""When to send: exact, pure arithmetic on nanoseconds and indices. No clock, no sockets, no asyncio."""
