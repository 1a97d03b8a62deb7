-- Keeps attempts for another time to live. KEYS their hashes. ARGV: that time in ms.
local call, time = redis.call, ARGV[1]
for _, key in ipairs(KEYS) do call('PEXPIRE', key, time) end
return 1
