"""What readers are served: the boards' rows, for pages, assets, proofs and the API."""
