"""Values that the other packages share: cuts, rows, ranges, verdicts. No I/O."""
