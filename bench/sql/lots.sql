-- Each player's share of the numbers from 0 to 1, by Zipf's law: the player of rank r has a share of r to the power of -s.
SELECT
  row_number() OVER (ORDER BY hash(rank, $seed)) - 1 AS player,
  (sum(weight) OVER (ORDER BY rank) - weight) / sum(weight) OVER () AS lower
FROM (SELECT rank, pow(rank, -$zipf) AS weight FROM range(1, $players + 1) AS ranks(rank))
