-- The places of some players, of one moment.
-- KEYS: sorted set, totals from 2^53 on, state, proof. ARGV: players.
local big, exact, rows = redis.call('HLEN', KEYS[2]), {}, {}
local head = {redis.call('GET', KEYS[3]), redis.call('GET', KEYS[4]), redis.call('ZCARD', KEYS[1]), big}
local needed = false
for number, player in ipairs(ARGV) do
  local place = redis.call('ZRANK', KEYS[1], player)
  if place then
    rows[number] = {place, redis.call('ZSCORE', KEYS[1], player)}
    needed = needed or place < big
  else
    rows[number] = {-1, '0'}
  end
end
if needed then
  exact = redis.call('HGETALL', KEYS[2])
end
return {head, rows, exact}
