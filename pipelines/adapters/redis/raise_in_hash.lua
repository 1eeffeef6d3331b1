-- Raises a whole number in a field; a higher one stays.
--
-- KEYS[1]  hash
-- ARGV[1]  field
-- ARGV[2]  the least number it has afterwards
--
-- Returns 1.

local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored or tonumber(stored) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 1
