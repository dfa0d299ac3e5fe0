-- The rows of some ranks, in order. The inner statement is the board's own.
SELECT *
FROM (
${board}
)
WHERE ${rank} BETWEEN $first AND $last
ORDER BY ${rank}
