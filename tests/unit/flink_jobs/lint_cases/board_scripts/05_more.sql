CREATE TEMPORARY VIEW minutes AS
SELECT player, window_start, window_end, SUM(CAST(points AS BIGINT)) AS total
FROM TUMBLE(TABLE scores, DESCRIPTOR(happened), INTERVAL '1' MINUTE)
GROUP BY player, window_start, window_end;
INSERT INTO totals SELECT squad_id, SUM(CAST(points AS BIGINT)) FROM scores GROUP BY squad_id; -- plans: GS05
INSERT INTO pairs SELECT a.player, a.total, b.total FROM minutes a JOIN minutes b ON a.player = b.player; -- plans: GS13
INSERT INTO pairs SELECT player, 1, absent FROM scores; -- plans: GS16
