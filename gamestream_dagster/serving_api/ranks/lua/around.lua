-- A player's place and the rows around, of one moment.
-- KEYS: sorted set, totals from 2^53 on, state, proof. ARGV: player, rows on each side.
-- The first `big` places are those of the totals from 2^53 on; their order is for the caller, from the exact totals.
local window = tonumber(ARGV[2])
local big, place = redis.call('HLEN', KEYS[2]), redis.call('ZRANK', KEYS[1], ARGV[1])
local head = {redis.call('GET', KEYS[3]), redis.call('GET', KEYS[4]), redis.call('ZCARD', KEYS[1]), big}
if not place then
  return {head, -1, 0, {}, {}}
end
local first, last = math.max(place - window, big), place + window
if place < big then
  last = big + window - 1
end
local rows, exact = {}, {}
if first <= last then
  rows = redis.call('ZRANGE', KEYS[1], first, last, 'WITHSCORES')
end
if big > 0 and place - window < big then
  exact = redis.call('HGETALL', KEYS[2])
end
return {head, place, first, rows, exact}
