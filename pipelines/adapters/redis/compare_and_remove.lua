-- Removes fields of a row, if nothing has happened to it since its head was read.
--
-- KEYS[1]           row
-- KEYS[2]           progress hash
-- KEYS[3]           hash that names the owner of the shared fields
-- ARGV[1], ARGV[2]  head field, and the head it must have
-- ARGV[3]           field that the progress hash must not have; empty: any may be there
-- ARGV[4], ARGV[5]  field of the last hash, and the definition it contains if it is there; ARGV[4] empty: anyone's
-- ARGV[6 ..]        the fields to remove
--
-- Returns 1 if they were removed, else 0.

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
if ARGV[3] ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then return 0 end
if ARGV[4] ~= '' and is_of_another(KEYS[3], ARGV[4], ARGV[5]) then return 0 end
in_parts(6, #ARGV, function(first, last) redis.call('HDEL', KEYS[1], unpack(ARGV, first, last)) end)
return 1
