"""Records in trackers, read back by the trackers' own libraries."""
