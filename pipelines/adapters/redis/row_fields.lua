-- Functions on the fields of rows. The loader puts this file before every script that uses them.

-- Calls `some(first, last)` for the numbers of `from` to `to` in parts: Lua takes some 8,000 arguments from one
-- `unpack`, and a row may have thousands of features.
local function in_parts(from, to, some)
  for first = from, to, 2000 do some(first, math.min(first + 1999, to)) end
end

-- Sets the fields of a hash from `values`, which holds names and values in turn.
local function set_all(key, values, from, to)
  in_parts(from, to, function(first, last) redis.call('HSET', key, unpack(values, first, last)) end)
end

-- Whether another definition owns what definitions share: `field` of `hash` names the owner; without it anyone does.
local function is_of_another(hash, field, definition)
  local owner = redis.call('HGET', hash, field)
  return owner and not string.find(owner, definition, 1, true)
end
