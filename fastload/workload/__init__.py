"""What to send: prompts and their lengths, and complete request bytes. Pure: no clock, sockets or asyncio; files are read once."""
