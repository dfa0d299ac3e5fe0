-- The rows of some entities, whatever their ranks. ${board}: the board's own statement.
SELECT found.*
FROM (
${board}
) AS found
SEMI JOIN keys USING (${over})
