"""The serving API: boards, ranks and their proofs over HTTP, for games and pages."""
