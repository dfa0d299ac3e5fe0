SELECT millis FROM watermark
