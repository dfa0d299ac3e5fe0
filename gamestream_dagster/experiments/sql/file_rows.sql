-- One row for each row of the file: numbers by metric, NULL where the text is none. Truth values are 1 and 0.
CREATE TABLE file_rows AS
SELECT
  trim(user_id) AS user_id,
  trim(variant) AS variant,
  list_transform(texts, lambda one:
    CASE lower(trim(one)) WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE TRY_CAST(trim(one) AS DOUBLE) END
  ) AS numbers
FROM file
