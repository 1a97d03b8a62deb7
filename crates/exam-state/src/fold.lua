-- Joins registers with those of one attempt, and keeps the winners.
-- KEYS[1] the attempt's hash. ARGV: time to live in ms (0: for ever), then field, register, ...
--
-- A register is its order followed by its value and compares bytewise. Lua's `<` on strings is
-- strcoll, which follows the server's locale; so bytes are compared as numbers. Values are opaque.
--
-- The register `erased` absorbs all others: where it is, it is the only one. So whoever finds any
-- other need not ask for it.

local byte = string.byte

-- The time, 16 digits at the head of every order, decides nearly always: read it as four numbers.
local function greater(a, b)
  if a == b then return false end
  local common = math.min(#a, #b)
  local first = 1
  if common >= 16 then
    local a1, a2, a3, a4 = struct.unpack('>I4I4I4I4', a)
    local b1, b2, b3, b4 = struct.unpack('>I4I4I4I4', b)
    if a1 ~= b1 then return a1 > b1 end
    if a2 ~= b2 then return a2 > b2 end
    if a3 ~= b3 then return a3 > b3 end
    if a4 ~= b4 then return a4 > b4 end
    first = 17
  end
  for i = first, common do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x > y end
  end
  return #a > #b
end

if ARGV[2] == 'erased' then redis.call('UNLINK', KEYS[1]) end

local fields = {}
for i = 2, #ARGV, 2 do fields[#fields + 1] = ARGV[i] end
local stored = redis.call('HMGET', KEYS[1], unpack(fields))

local winners, known = {}, false
for i = 1, #fields do
  local field, new, old = fields[i], ARGV[2 * i + 1], stored[i]
  local wins = not old
  known = known or old
  local letter, slash = byte(field, 1, 2)
  if old and slash == 47 and (letter == 101 or letter == 102) then -- e/... f/...: the least stays
    wins = greater(old, new)
  elseif old then
    wins = greater(new, old)
  end
  if wins then
    winners[#winners + 1] = field
    winners[#winners + 1] = new
  end
end

if not known and redis.call('HEXISTS', KEYS[1], 'erased') == 1 then winners = {} end
if #winners > 0 then redis.call('HSET', KEYS[1], unpack(winners)) end
if ARGV[1] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
