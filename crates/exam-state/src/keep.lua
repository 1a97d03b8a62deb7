-- Looks after attempts that were written to. KEYS their hashes. ARGV: time to live in ms (0: for
-- ever). Whoever wrote has not asked whether one was erased: of that one nothing else is kept.
local call, time = redis.call, ARGV[1]
for _, key in ipairs(KEYS) do
  local erased = call('HGET', key, 'erased')
  if erased and call('HLEN', key) > 1 then
    call('UNLINK', key)
    call('HSET', key, 'erased', erased)
  end
  if time ~= '0' then call('PEXPIRE', key, time) end
end
return 1
