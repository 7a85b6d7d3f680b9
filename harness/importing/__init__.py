"""Searches that others carried out, in the harness's records: logs of RobustDARTS, logits of NAS-Bench-1Shot1.

May import: measuring, methods, records, runs, specs.
"""
