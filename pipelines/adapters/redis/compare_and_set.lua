-- Writes rows, each behind its fence: a row is written only while the store holds what the writer expects.
--
-- KEYS[1 .. n]      rows
-- KEYS[n + 1]       hash that names the owner of the shared fields; empty: anyone owns them
-- ARGV[1]           how long shared fields live, in ms; 0: for ever
-- ARGV[2]           number of shared fields
-- ARGV[3], ARGV[4]  field of that hash, and the definition it must contain for shared fields to be set
-- ARGV[5]           what the keys of hashes begin with that name rows whose values are held back, their partition
--                   follows; empty: that is not noted
-- ARGV[6 ..]        names of the shared fields
-- then per row      expected offset; number of keys of erasures; number of its own arguments; number of its values; these
--                   keys; the own arguments (head field, head, then field and value in turn); a value for each shared
--                   field, or none: they are held back
--
-- Returns one whole number per row:
--    1  written
--    0  refused: the stored row contains later records
--   -1  refused: the stored row contains fewer records, or is absent
--   -2  refused: the stored row is of another incarnation of the topic, or of another partition
--   -3  refused: the row is absent, and an erasure says that its entity was forgotten (contract/store/erasure.py)
--
-- An expected offset of -2 - t begins a row anew whose newest erasure is of time t. A stored row of another definition
-- counts as absent, but for erasures.
--
-- For speed, one table takes the fields of every row in turn, its names set once, and numbers are passed on as the
-- texts they came as: a table for each row and texts made of numbers would take a tenth of the time. The time at which
-- shared fields expire is rounded up to a 64th of how long they live: the server then need not move a field from one
-- time to another with every write, which would take another tenth.

-- Positions in a head are those of contract/store/row_header.py.
local function identity(head) return string.sub(head, 1, 9) end
local function incarnation_and_partition(head) return string.sub(head, 10, 21) end
local function offset_of(head) return struct.unpack('>I8', head, 22) end

local function outcome_of_absent(expected, first, last)
  if expected >= 0 then return -1 end
  local newest = -1
  for erasure = first, last do
    local at = redis.call('HGET', ARGV[erasure], 'at')
    if at then newest = math.max(newest, tonumber(at)) end
  end
  if newest >= 0 and expected ~= -2 - newest then return -3 end
  return 1
end

local function outcome(stored, head, expected)
  local offset = -1
  if identity(stored) == identity(head) then
    if incarnation_and_partition(stored) ~= incarnation_and_partition(head) then return -2 end
    offset = offset_of(stored)
  end
  if offset > expected then return 0 end
  if offset < expected then return -1 end
  return 1
end

-- The rows of a head's partition in `by_partition`, whose keys are partitions as heads have them.
local function rows_beside(by_partition, head)
  local partition = string.sub(head, 18, 21)
  local rows = by_partition[partition] or {}
  by_partition[partition] = rows
  return rows
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
local at = 6 + names
local shared_key = KEYS[#KEYS]
local sets_own_only = names == 0 or shared_key ~= '' and is_of_another(shared_key, ARGV[3], ARGV[4])
local notes_held = ARGV[5] ~= '' and not sets_own_only
local held_back, published = {}, {}
local outcomes = {}
local fields = {}
for name = 1, names do fields[2 * name - 1] = ARGV[5 + name] end
for row = 1, #KEYS - 1 do
  local key = KEYS[row]
  local expected = tonumber(ARGV[at])
  local erasures = at + 4
  local first = erasures + tonumber(ARGV[at + 1])
  local own = tonumber(ARGV[at + 2])
  local given = tonumber(ARGV[at + 3])
  local values = first + own
  local head = ARGV[first + 1]
  local stored = redis.call('HGET', key, ARGV[first])
  if stored then
    outcomes[row] = outcome(stored, head, expected)
  else
    outcomes[row] = outcome_of_absent(expected, erasures, first - 1)
  end
  if outcomes[row] == 1 then
    for value = 1, given do fields[2 * value] = ARGV[values - 1 + value] end
    if sets_own_only or given == 0 then
      set_all(key, ARGV, first, values - 1)
    elseif expires then
      in_parts(1, shared, function(first, last)
        local number = string.format('%d', (last - first + 1) / 2)
        redis.call('HSETEX', key, 'PXAT', expire_at, 'FIELDS', number, unpack(fields, first, last))
      end)
      set_all(key, ARGV, first, values - 1)
    else
      for own_field = 1, own do fields[shared + own_field] = ARGV[first - 1 + own_field] end
      set_all(key, fields, 1, shared + own)
    end
    if notes_held then
      local rows = rows_beside(given == 0 and held_back or published, head)
      rows[#rows + 1] = key
      if given == 0 then rows[#rows + 1] = '' end
    end
  end
  at = values + given
end
local function held_key(partition) return ARGV[5] .. string.format('%d', struct.unpack('>I4', partition)) end
for partition, rows in pairs(held_back) do redis.call('HSET', held_key(partition), unpack(rows)) end
for partition, rows in pairs(published) do redis.call('HDEL', held_key(partition), unpack(rows)) end
return outcomes
