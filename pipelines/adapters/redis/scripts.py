"""What the store does in one step, in Lua."""

from __future__ import annotations

_IN_PARTS = """
local function in_parts(from, to, some)
  for first = from, to, 2000 do some(first, math.min(first + 1999, to)) end
end
"""
"""Lua takes some 8,000 arguments from one `unpack`: a row of thousands of features is set in parts, but in one step."""

_SET_ALL = """
local function set_all(key, values, from, to)
  in_parts(from, to, function(first, last) redis.call('HSET', key, unpack(values, first, last)) end)
end
"""

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
# Header offsets are those of contract.store.row_header: identity 1-9, lineage and partition 10-21, offset 22-29. Only
# where a row is absent is it looked whether it was forgotten (see `FORGET`).
COMPARE_AND_SET = (
    _IN_PARTS
    + _SET_ALL
    + _IS_OF_ANOTHER
    + """
local function forgotten_at(key, head)
  local offset = redis.call('HGET', 'forebay:forgotten:' .. redis.sha1hex(key), string.sub(head, 10, 21))
  return offset and struct.unpack('>I8', offset) or -1
end
local function outcome_of_absent(key, head, expected)
  local fence = forgotten_at(key, head)
  if expected > fence then return -1 end
  if fence >= 0 and expected ~= -2 - fence then return -3 end
  return 1
end
local function outcome(stored, head, expected)
  local offset = -1
  if string.sub(stored, 1, 9) == string.sub(head, 1, 9) then
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
  if stored then
    outcomes[row] = outcome(stored, ARGV[at + 3], tonumber(ARGV[at]))
  else
    outcomes[row] = outcome_of_absent(key, ARGV[at + 3], tonumber(ARGV[at]))
  end
  if outcomes[row] == 1 then
    for name = 1, names do fields[2 * name] = ARGV[values - 1 + name] end
    if sets_own_only then
      set_all(key, ARGV, at + 2, values - 1)
    elseif expires then
      in_parts(1, shared, function(first, last)
        local number = string.format('%d', (last - first + 1) / 2)
        redis.call('HSETEX', key, 'PXAT', expire_at, 'FIELDS', number, unpack(fields, first, last))
      end)
      set_all(key, ARGV, at + 2, values - 1)
    else
      for own_field = 1, own do fields[shared + own_field] = ARGV[at + 1 + own_field] end
      set_all(key, fields, 1, shared + own)
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

# KEYS: a hash. ARGV: field, the whole number it gets unless it has a higher one.
RAISE_IN_HASH = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored or tonumber(stored) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 1
"""

# KEYS: a row, a progress hash, the hash that says whose shared fields are. ARGV: head field, the head it must have, a
# field that the progress hash must not have (empty: any), a field of the last hash and what that contains where it is
# there (empty: anything), then the fields to remove.
COMPARE_AND_REMOVE = (
    _IN_PARTS
    + _IS_OF_ANOTHER
    + """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then return 0 end
if ARGV[4] ~= '' and is_of_another(KEYS[3], ARGV[4], ARGV[5]) then return 0 end
in_parts(6, #ARGV, function(first, last) redis.call('HDEL', KEYS[1], unpack(ARGV, first, last)) end)
return 1
"""
)

# KEYS: a row, the hash that remembers where it was forgotten. ARGV: for how many ms (0: for ever). The row goes, all
# views of it; what stays is, per partition that its states were computed from, the greatest of their offsets.
FORGET = """
local row = redis.call('HGETALL', KEYS[1])
redis.call('DEL', KEYS[1])
for at = 1, #row, 2 do
  if string.sub(row[at], 1, 4) == '_fb:' then
    local place = string.sub(row[at + 1], 10, 21)
    local offset = string.sub(row[at + 1], 22, 29)
    local known = redis.call('HGET', KEYS[2], place)
    if not known or struct.unpack('>I8', known) < struct.unpack('>I8', offset) then
      redis.call('HSET', KEYS[2], place, offset)
    end
  end
end
if tonumber(ARGV[1]) > 0 then redis.call('PEXPIRE', KEYS[2], ARGV[1]) else redis.call('PERSIST', KEYS[2]) end
return #row
"""

# KEYS: a hash, the hash of leases (its values: see contract.store.lease). ARGV: the fields to remove.
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
