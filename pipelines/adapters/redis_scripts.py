"""What the store does in one step, in Lua."""

from __future__ import annotations

# KEYS: rows. ARGV: how long shared fields live in ms (0: for ever), their number and their names; then per row the
# expected offset, the number of its own arguments and these (head field, head, field, value ...), and a value for
# every shared name.
# Header offsets are those of contract.fence: identity 1-9, lineage and partition 10-21, offset 22-29.
COMPARE_AND_SET = """
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
local expire = tonumber(ARGV[1])
local names = tonumber(ARGV[2])
local at = 3 + names
local outcomes = {}
for row = 1, #KEYS do
  local own = tonumber(ARGV[at + 1])
  local values = at + 2 + own
  local stored = redis.call('HGET', KEYS[row], ARGV[at + 2])
  outcomes[row] = outcome(stored, ARGV[at + 3], tonumber(ARGV[at]))
  if outcomes[row] == 1 then
    local fields = {}
    for name = 1, names do
      fields[2 * name - 1] = ARGV[2 + name]
      fields[2 * name] = ARGV[values - 1 + name]
    end
    if expire > 0 and names > 0 then
      redis.call('HSETEX', KEYS[row], 'PX', expire, 'FIELDS', names, unpack(fields))
      fields = {}
    end
    for own_field = at + 2, values - 1 do fields[#fields + 1] = ARGV[own_field] end
    redis.call('HSET', KEYS[row], unpack(fields))
  end
  at = values + names
end
return outcomes
"""

# KEYS: a row, a progress hash. ARGV: head field, the head it must have, a field that the progress hash must not have
# (empty: any), then the fields to remove.
COMPARE_AND_REMOVE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then return 0 end
redis.call('HDEL', KEYS[1], unpack(ARGV, 4))
return 1
"""
