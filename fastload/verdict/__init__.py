"""What a summary is worth: can it be trusted, did it meet its gates. Pure: no clock, no sockets, no asyncio."""
