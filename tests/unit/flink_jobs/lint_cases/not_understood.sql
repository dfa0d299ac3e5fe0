-- What no rule can judge is named.
CREATE TABEL src (a INT); -- finds: GS17
SELECT * FORM src; -- finds: GS17
CALL sys.clean('src'); -- finds: GS17
