"""The entry points for commands, assets and sensors."""
