-- Next offset by partition; what is not named is before no cut.
CREATE TEMPORARY VIEW cut AS
SELECT CAST(place AS INT) AS `partition`, CAST(next_offset AS BIGINT) AS high_offset
FROM (VALUES ${cut}) AS given (place, next_offset)
