-- Remembers that an entity is forgotten, from now on.
--
-- KEYS[1]    the erasure (contract/store/erasure.py)
-- ARGV[1]    for how many ms that is remembered; 0: for ever
-- ARGV[2 ..] places and offsets in turn: up to which records it is forgotten
--
-- Returns the time of the erasure, ms since the epoch: later than that of every one before.

local now = redis.call('TIME')
local at = now[1] * 1000 + math.floor(now[2] / 1000)
local before = redis.call('HGET', KEYS[1], 'at')
if before then at = math.max(at, tonumber(before) + 1) end
redis.call('HSET', KEYS[1], 'at', string.format('%.0f', at))
for place = 2, #ARGV, 2 do raise_offset(KEYS[1], ARGV[place], ARGV[place + 1]) end
if tonumber(ARGV[1]) > 0 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) else redis.call('PERSIST', KEYS[1]) end
return at
