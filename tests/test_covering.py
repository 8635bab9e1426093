"""Each member of the covering set has a feature that no other has; test_graph.py tests that every feature is covered.

pytest tests/test_covering.py -s  # prints what each member is there for
"""

import covering
import pytest


@pytest.mark.long
def test_each_member_has_features_of_its_own():
    sets = {name: covering.features_of(name) for name in covering.names()}
    print("\n" + covering.table(sets))
    idle = [name for name, own in covering.only_in(sets).items() if not own]
    assert not idle, f"these bring nothing of their own: {idle}; run python tests/covering.py"
