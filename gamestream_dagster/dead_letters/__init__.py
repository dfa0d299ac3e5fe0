"""Dead letters of intake: find them, fix them, replay them once."""
