-- Removes fields that are named after definitions, but for those that a scorer holds a lease on.
--
-- KEYS[1]    hash
-- KEYS[2]    hash of leases; its values are those of contract/store/lease.py
-- ARGV[1 ..] the fields to remove
--
-- Returns the fields that are gone.

local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local leased = {}
for _, lease in ipairs(redis.call('HVALS', KEYS[2])) do
  if tonumber(string.match(lease, '^%d+')) > now_ms then
    for definition in string.gmatch(lease, '\n([^\n]+)') do leased[definition] = true end
  end
end
local gone = {}
for _, field in ipairs(ARGV) do
  if not leased[field] then
    redis.call('HDEL', KEYS[1], field)
    gone[#gone + 1] = field
  end
end
return gone
