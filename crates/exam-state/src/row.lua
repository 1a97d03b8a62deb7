-- What a quiz's board shows of an attempt: its registers without any answer.
-- KEYS[1] the attempt's hash.
--
-- A register a/... is an order, of which the time at its head is kept; the answer; and 18 bytes
-- that sum it up: status, flagged, digest. Where the digest is not that of the first answer, in
-- f/..., the status says 2. What no board shows (f/..., s/..., w) is left out.

local byte, sub = string.byte, string.sub
local SLASH, A, F, S, W = byte('/afsw', 1, 5)
local REST = '\0\0018000000000000000\0\001' -- of an order that is a time only

local stored = redis.call('HGETALL', KEYS[1])
local first = {}
for i = 1, #stored, 2 do
  local letter, slash = byte(stored[i], 1, 2)
  if letter == F and slash == SLASH then first[sub(stored[i], 3)] = sub(stored[i + 1], -16) end
end

local row = {}
for i = 1, #stored, 2 do
  local field, register = stored[i], stored[i + 1]
  local letter, slash = byte(field, 1, 2)
  if slash == SLASH and letter == A then
    local summary = sub(register, -18)
    local began = first[sub(field, 3)]
    if began and sub(summary, 1, 1) == '1' and sub(summary, 3) ~= began then
      summary = '2' .. sub(summary, 2)
    end
    register = sub(register, 1, 16) .. REST .. summary
  elseif letter == W and not slash or slash == SLASH and (letter == F or letter == S) then
    field = nil
  end
  if field then
    row[#row + 1] = field
    row[#row + 1] = register
  end
end
return row
