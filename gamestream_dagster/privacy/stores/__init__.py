"""Every store of a stack that can hold a player's data; each finds, exports and erases it."""
