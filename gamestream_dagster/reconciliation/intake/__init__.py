"""The proof of intake: every record of the raw topic has one fate, by the archive's judgement and by the outputs."""
