-- Removes a row with the states of all views, and adds to its entity's erasure how far each of them had come.
--
-- KEYS[1]  row
-- KEYS[2]  the erasure (contract/store/erasure.py)
--
-- Returns the number of fields and values that the row had; 0 if it was not there.
--
-- Positions in a head are those of contract/store/row_header.py.

local row = redis.call('HGETALL', KEYS[1])
redis.call('DEL', KEYS[1])
for at = 1, #row, 2 do
  if string.sub(row[at], 1, 4) == '_fb:' then
    raise_offset(KEYS[2], string.sub(row[at + 1], 10, 21), string.sub(row[at + 1], 22, 29))
  end
end
return #row
