"""What the store does in one step, in Lua."""

from __future__ import annotations

_IS_OF_ANOTHER = """
local function is_of_another(hash, field, definition)
  local said = redis.call('HGET', hash, field)
  return said and not string.find(said, definition, 1, true)
end
"""
"""What definitions share, by what a hash says of it; where it says nothing, it is anyone's."""

# KEYS: rows, and last the hash that says whose shared fields are (empty: anyone's). ARGV: how long shared
# fields live in ms (0: for ever), their number, the field that says it, what it contains, and their names; then per
# row the expected offset, the number of its own arguments and these (head field, head, field, value ...), and a value
# for every shared name. One table takes the fields of every row in turn, its names set once, and numbers are passed on
# as the texts they came as: a table for each row and texts made of numbers would take a tenth of the time. The time at
# which shared fields expire is rounded up, to a 64th of how long they live: the server need not move a field from one
# time to another with every write, which would take another tenth.
# Header offsets are those of contract.fence: identity 1-9, lineage and partition 10-21, offset 22-29.
COMPARE_AND_SET = (
    _IS_OF_ANOTHER
    + """
local function outcome(stored, head, expected)
  local offset = -1
  if stored and string.sub(stored, 1, 9) == string.sub(head, 1, 9) then
    if string.sub(stored, 10, 21) ~= string.sub(head, 10, 21) then return -2 end
    offset = struct.unpack('>I8', stored, 22)
  end
  if offset > expected then return 0 end
  if offset < expected then return -1 end
  return 1
end
local live = tonumber(ARGV[1])
local expires = live > 0 and tonumber(ARGV[2]) > 0
local expire_at
if expires then
  local now = redis.call('TIME')
  local step = math.ceil(live / 64)
  expire_at = string.format('%.0f', math.ceil((now[1] * 1000 + now[2] / 1000 + live) / step) * step)
end
local names = tonumber(ARGV[2])
local shared = 2 * names
local at = 5 + names
local shared_key = KEYS[#KEYS]
local sets_own_only = names == 0 or shared_key ~= '' and is_of_another(shared_key, ARGV[3], ARGV[4])
local outcomes = {}
local fields = {}
for name = 1, names do fields[2 * name - 1] = ARGV[4 + name] end
for row = 1, #KEYS - 1 do
  local key = KEYS[row]
  local own = tonumber(ARGV[at + 1])
  local values = at + 2 + own
  local stored = redis.call('HGET', key, ARGV[at + 2])
  outcomes[row] = outcome(stored, ARGV[at + 3], tonumber(ARGV[at]))
  if outcomes[row] == 1 then
    for name = 1, names do fields[2 * name] = ARGV[values - 1 + name] end
    if sets_own_only then
      redis.call('HSET', key, unpack(ARGV, at + 2, values - 1))
    elseif expires then
      redis.call('HSETEX', key, 'PXAT', expire_at, 'FIELDS', ARGV[2], unpack(fields, 1, shared))
      redis.call('HSET', key, unpack(ARGV, at + 2, values - 1))
    else
      for own_field = 1, own do fields[shared + own_field] = ARGV[at + 1 + own_field] end
      redis.call('HSET', key, unpack(fields, 1, shared + own))
    end
  end
  at = values + names
end
return outcomes
"""
)

# KEYS: a hash. ARGV: field, the value it must have, the value it gets.
REPLACE_IN_HASH = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""

# KEYS: a row, a progress hash, the hash that says whose shared fields are. ARGV: head field, the head it must have, a
# field that the progress hash must not have (empty: any), a field of the last hash and what that contains where it is
# there (empty: anything), then the fields to remove.
COMPARE_AND_REMOVE = (
    _IS_OF_ANOTHER
    + """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then return 0 end
if ARGV[4] ~= '' and is_of_another(KEYS[3], ARGV[4], ARGV[5]) then return 0 end
redis.call('HDEL', KEYS[1], unpack(ARGV, 6))
return 1
"""
)

# KEYS: a hash, the hash of leases (its values: see contract.lease). ARGV: the fields to remove.
REMOVE_UNLESS_LEASED = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local leased = {}
for _, lease in ipairs(redis.call('HVALS', KEYS[2])) do
  if tonumber(string.match(lease, '^%d+')) > now_ms then
    for definition in string.gmatch(lease, '\\n([^\\n]+)') do leased[definition] = true end
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
"""
