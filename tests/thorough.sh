#!/bin/sh
# What takes long, after `tox`: tox exec -e tests -- sh tests/thorough.sh
set -eux

pytest -m slow

# A study is killed thirty times (500 by hand: --kills 500), its files are mutated two hundred times (2,000 by hand),
# and one runs on two hosts where namespaces can be made (77: not).
python tests/torture.py --kills 30
python -m tests.mutations --count 200
python tests/cluster/two_hosts.py || test $? -eq 77

pip install --quiet --no-deps ./examples/plugin
pytest -n 0 examples/plugin
pip uninstall --quiet --yes nas-stability-example
