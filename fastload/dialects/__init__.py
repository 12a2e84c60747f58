"""How servers speak: one file per API, each a declaration that the native matcher compiles. Pure: no asyncio, no sockets."""
