"""Processes that are killed: workers, parents, clusters; signals meanwhile."""
