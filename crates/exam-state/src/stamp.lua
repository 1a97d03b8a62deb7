-- Gives attempts the newest versions of a quiz's board.
-- KEYS[1] the board: a sorted set of attempts by version. ARGV: time to live in ms (0: for ever),
-- then the attempts.
--
-- A version is the time in microseconds, or one more than the newest: so a board that was lost and
-- is filled again never gives out a version that somebody has seen. The member '.' is older than
-- any attempt: whoever asks for changes since a version before it knows another board.

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
for i = 2, #ARGV do
  -- As an integer: the text of a number with 17 digits is much work.
  marks[#marks + 1] = string.format('%d', version + i - 1)
  marks[#marks + 1] = ARGV[i]
end
redis.call('ZADD', KEYS[1], unpack(marks))

if ARGV[1] ~= '0' then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  -- These attempts are forgotten by now.
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1] * 1000)
end
return 1
