"""What to run: the frozen plan that flags and a YAML file make together. Pure: no clock, no sockets, no asyncio."""
