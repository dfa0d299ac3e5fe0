-- The rows of some entities, whatever their ranks. The inner statement is the board's own.
SELECT found.*
FROM (
${board}
) AS found
SEMI JOIN keys USING (${over})
