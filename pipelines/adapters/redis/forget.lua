-- Removes a row with the states of all views, and remembers how far each of them had come.
--
-- KEYS[1]  row
-- KEYS[2]  hash that remembers: per incarnation and partition the greatest offset that a state contained
-- ARGV[1]  for how many ms that is remembered; 0: for ever
--
-- Returns the number of fields and values that the row had; 0 if it was not there.
--
-- Positions in a head are those of contract/store/row_header.py.

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
