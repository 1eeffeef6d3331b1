-- Replaces the value of a field, if it is still the one that is expected.
--
-- KEYS[1]  hash
-- ARGV[1]  field
-- ARGV[2]  the value it must have
-- ARGV[3]  the value it gets
--
-- Returns 1 if it was replaced, else 0.

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
