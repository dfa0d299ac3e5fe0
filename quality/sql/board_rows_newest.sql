-- A windowed board keeps ranks of older windows when the newest has fewer rows: readers take the newest alone.
SELECT * FROM $board WHERE $as_of = (SELECT max($as_of) FROM $board)
