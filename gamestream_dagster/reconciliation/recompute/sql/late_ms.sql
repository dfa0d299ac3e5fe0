-- How far the watermark stays behind the newest event of each partition, milliseconds.
SET VARIABLE late_ms = $late_ms::BIGINT
