-- The rows of some ranks, in order. ${board}: the board's own statement.
SELECT *
FROM (
${board}
)
WHERE ${rank} BETWEEN $first AND $last
ORDER BY ${rank}
