"""What the package offers keeps the harness's contracts."""

from nas_stability_example import chain

from nas_stability.testing import check_method, check_space, check_table


def test_the_space_and_its_table() -> None:
    check_space("chain")
    check_table(chain.table(), "chain")


def test_the_methods() -> None:
    check_method("darts-dropped", "chain", table="chain-digits")
    check_method("entropy-darts-rs", "nasbench201", entropy_weight=1.0)
