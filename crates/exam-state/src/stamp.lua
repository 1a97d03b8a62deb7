-- Gives attempts that changed the newest versions of a quiz's board, and says how many.
-- KEYS[1] the board: a sorted set of attempts by version. KEYS[2] the set of attempts that changed.
-- ARGV: how many of them at most.
--
-- A version is the time in microseconds, or one more than the newest: so a board that was lost and
-- is filled again never gives out a version that somebody has seen. The member '.' is older than
-- any attempt: whoever asks for changes since a version before it knows another board.

-- They change together: a board lives as long as the last one of its attempts.
local left = redis.call('PTTL', KEYS[2])
local attempts = redis.call('SPOP', KEYS[2], ARGV[1])
if #attempts == 0 then return 0 end

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]

local version = now
local marks = {}
if not newest then
  marks = {now, '.'}
elseif tonumber(newest) > now then
  version = tonumber(newest)
end
for i, attempt in ipairs(attempts) do
  -- As an integer: the text of a number with 17 digits is much work.
  marks[#marks + 1] = string.format('%d', version + i)
  marks[#marks + 1] = attempt
end
redis.call('ZADD', KEYS[1], unpack(marks))

if left < 0 then
  redis.call('PERSIST', KEYS[1])
else
  redis.call('PEXPIRE', KEYS[1], left)
end
return #attempts
