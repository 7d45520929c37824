"""The registry's scripts. Each touches the keys of one hash tag, and takes the time from the service."""

from dataclasses import dataclass
from hashlib import sha1
from typing import Final


@dataclass(frozen=True, slots=True)
class Script:
    """`sha`: the name by which the service knows it once it is loaded."""

    text: str
    sha: str


def _script(text: str) -> Script:
    text = _NOW + text
    return Script(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


# Microseconds since the epoch: below 2^53, so Lua's numbers hold them exactly.
_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function whole(number) return string.format('%.0f', number) end
"""

# members; node_id, what it says of itself, seconds for which nodes are remembered.
# A member: microsecond of its last beat, NUL, what it says.
BEAT: Final = _script("""
local was_known = redis.call('HEXISTS', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], whole(now) .. '\\0' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
local all, members = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local heard, says = string.match(all[i + 1], '^(%d+)%z(.*)$')
  if now - heard > ARGV[3] * 1000000 then
    redis.call('HDEL', KEYS[1], all[i])
  else
    members[#members + 1] = {whole(now - heard), says}
  end
end
return {was_known, members}
""")

# places, session; device, what is known of the place, seconds to live. A place: generation, NUL, the rest.
ENTER: Final = _script("""
local old = redis.call('HGET', KEYS[1], ARGV[1])
local generation = now
if old then generation = math.max(now, string.match(old, '^%d+') + 1) end
redis.call('HSET', KEYS[1], ARGV[1], whole(generation) .. '\\0' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
local session = redis.call('GET', KEYS[2])
redis.call('DEL', KEYS[2])
return {whole(generation), old, session, redis.call('HGETALL', KEYS[1])}
""")

# places, session, seen; device, generation, session, seconds for the session, for `seen`.
LEAVE: Final = _script("""
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and string.match(held, '^%d+') == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
  if tonumber(ARGV[4]) > 0 then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4]) end
  redis.call('SET', KEYS[3], whole(now / 1000), 'EX', ARGV[5])
end
""")

# places; seconds to live, then device, generation and the rest for each. Returns the numbers of the losers.
RESTORE: Final = _script("""
local lost = {}
for i = 2, #ARGV, 3 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  local theirs = held and tonumber(string.match(held, '^%d+')) or -1
  local ours = tonumber(ARGV[i + 1])
  if theirs > ours then
    lost[#lost + 1] = (i - 2) / 3
  elseif theirs < ours then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1] .. '\\0' .. ARGV[i + 2])
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return lost
""")

# places, seen; seconds for `seen`, then device and generation for each.
FORGET: Final = _script("""
for i = 2, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if held and string.match(held, '^%d+') == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
    redis.call('SET', KEYS[2], whole(now / 1000), 'EX', ARGV[1])
  end
end
""")

# the times of what was let through; most, window in microseconds. Returns microseconds to wait, or -1.
COUNT: Final = _script("""
local first = redis.call('LINDEX', KEYS[1], -ARGV[1])
if first then
  local wait = first + ARGV[2] - now
  if wait > 0 then return wait end
end
redis.call('RPUSH', KEYS[1], whole(now))
redis.call('LTRIM', KEYS[1], -ARGV[1], -1)
redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] / 1000))
return -1
""")

# lease; holder, milliseconds.
TAKE: Final = _script("""
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

# lease; holder.
RELEASE: Final = _script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
""")

ALL: Final = (BEAT, ENTER, LEAVE, RESTORE, FORGET, COUNT, TAKE, RELEASE)
