-- Functions on the fields of erasures. The loader puts this file before every script that uses them.

-- Sets the offset of a place; a greater one stays.
local function raise_offset(erasure, place, offset)
  local known = redis.call('HGET', erasure, place)
  if not known or struct.unpack('>I8', known) < struct.unpack('>I8', offset) then
    redis.call('HSET', erasure, place, offset)
  end
end
