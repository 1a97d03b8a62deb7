-- Moves a position from where its writer left it. KEYS[1] the position.
-- ARGV: 1 if there was one before, that one, the new one. Says 0 if another one is stored.
local stored = redis.call('GET', KEYS[1])
local before = ARGV[1] == '1' and ARGV[2]
if stored ~= before and stored ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[1], ARGV[3])
return 1
