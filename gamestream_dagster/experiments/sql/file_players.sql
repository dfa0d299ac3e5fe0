CREATE VIEW players AS
SELECT user_id, variant, numbers FROM file_rows ANTI JOIN repeated USING (user_id)
