"""Contracts of methods, spaces and tables, for the tests of whoever adds one: each raises AssertionError with a line.

    from nas_stability.testing import check_method, check_space, check_table

    def test_mine(): check_method("darts-mine", space="nasbench201")

Everything that the harness ships passes the same checks, by being listed. They take seconds.
"""

from nas_stability.testing.methods import check_method
from nas_stability.testing.spaces import check_space
from nas_stability.testing.tables import check_table

__all__ = ["check_method", "check_space", "check_table"]
