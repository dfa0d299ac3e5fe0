"""Hand-written fakes of our own clients."""
