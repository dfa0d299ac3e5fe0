-- The rows of an output without ranks, by key, and one more than there may be. The inner statement is the output's own.
SELECT *
FROM (
${board}
)
ORDER BY ${keys}
LIMIT $rows + 1
