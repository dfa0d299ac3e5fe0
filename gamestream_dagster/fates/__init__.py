"""The fate of a game event: in which topic intake put it, and what one event id became. No Flink, no Dagster."""
