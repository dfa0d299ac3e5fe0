"""The boards' rows for pages, assets, proofs and the API."""
