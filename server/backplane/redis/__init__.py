"""The backplane on Redis or Valkey. Needs the extra `cluster`."""

from server.backplane.redis.backplane import RedisBackplane

__all__ = ["RedisBackplane"]
