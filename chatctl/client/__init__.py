"""The Python client: `aio` for asyncio programs, `session` for all others. It knows the protocol alone."""
