-- The counted events of a topic whose events carry no ids: all that were accepted.
CREATE TEMPORARY VIEW events AS
SELECT *
FROM accepted
