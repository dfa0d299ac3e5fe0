"""The independent recompute over the archive, at exact offsets."""
