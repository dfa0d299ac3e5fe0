"""The dead letters of intake: the check of their rate and the sensor that reports it."""

from gamestream_dagster.components.dead_letter_rate import rate_check, rate_sensor

INTERVAL_SECONDS = 60

share_of_dead_letters = rate_check()
dead_letter_rate = rate_sensor(INTERVAL_SECONDS)
