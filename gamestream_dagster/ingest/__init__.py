"""The HTTP API of intake: events from a game's backend or clients into Kafka, with a verdict for each."""
