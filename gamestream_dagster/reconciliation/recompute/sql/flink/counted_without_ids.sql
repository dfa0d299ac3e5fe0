-- The counted events of a topic whose events carry no ids: all that were accepted.
CREATE TEMPORARY VIEW counted AS
SELECT *
FROM accepted
