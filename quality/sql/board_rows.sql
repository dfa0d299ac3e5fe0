-- The rows of a board that people are 
SELECT * FROM $board
