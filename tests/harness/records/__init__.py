"""The run's folder: records that cannot lie."""
