"""The command line, alone above benchmarks, harness and analysis."""
