"""The command line, alone above benchmarks, harness and analysis."""

from nas_stability.command_line import main
from nas_stability.flags import FAILED, MISUSED, REQUEUE

__all__ = ["FAILED", "MISUSED", "REQUEUE", "main"]
