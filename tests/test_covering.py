"""The covering set has every feature of all builders, and each of its members is there for something.

pytest tests/test_covering.py -s  # prints what each member is there for
"""

import covering


def test_members_have_every_feature_and_each_some_of_its_own():
    sets = {name: covering.features_of(name)[0] for name in covering.names()}
    print("\n" + covering.table(sets))
    covered = set().union(*sets.values())
    missing = {name: features - covered for name, (features, _) in covering.every_feature().items()}
    missing = {name: features for name, features in missing.items() if features}
    assert not missing, f"not covered: {missing}; run python tests/covering.py"
    idle = [name for name, own in covering.only_in(sets).items() if not own]
    assert not idle, f"these bring nothing of their own: {idle}; run python tests/covering.py"
