"""Search methods by ask and tell: their rules, their states, and what they reach on a synthetic table."""

import json

import numpy as np
import pytest
import scipy.stats

from kapps.search import methods, spaces
from kapps.search.methods.policy import log_probability, log_probability_gradient

SPACE = spaces.NASBench201()
MACRO = spaces.NASBenchMacro()


def additive_scores(space=SPACE, seed=0):
    """A table of the form of the published one: the sum of a value for each option, and noise for each cell."""
    random = np.random.default_rng(seed)
    values = [np.sort(random.normal(size=len(x.options))) for x in space.decisions]
    noise = {}

    def score(cell):
        digits = space.digits(cell)
        if cell not in noise:
            noise[cell] = np.random.default_rng([seed, *digits]).normal(0, 0.1)
        return 80 + sum(row[digit] for row, digit in zip(values, digits, strict=True)) + noise[cell]

    return score


def run(method, judge, count):
    for _ in range(count):
        cell = method.ask()
        method.tell(cell, judge(cell))
    return method


@pytest.mark.parametrize(
    "names, count, seeds",
    [
        (("evolution", "adanet", "rena", "progressive"), 80, 3),
        (("reinforce", "large_scale_evolution"), 300, 3),
        pytest.param(("ppp_net", "neural_architect"), 100, 5, marks=pytest.mark.long),
    ],
)
def test_methods_find_better_networks_than_random_search(names, count, seeds):
    """Mean of the best score over seeds, for as many evaluations."""
    judge = additive_scores()
    means = [
        np.mean(
            [run(methods.make(name, SPACE, seed=s), judge, count).best()[1] for s in range(seeds)]
        )
        for name in ("random", *names)
    ]
    assert min(means[1:]) > means[0], means


@pytest.mark.parametrize("name", methods.METHODS)
def test_a_state_of_json_resumes_with_the_same_cells(name):
    space = MACRO if name in ("reinforce", "adanet", "large_scale_evolution") else SPACE
    judge = additive_scores(space)
    whole = run(methods.make(name, space, seed=3), judge, 45)
    stopped = run(methods.make(name, space, seed=3), judge, 23)
    waiting = stopped.ask()  # the run was stopped during an evaluation
    text = json.dumps(stopped.state())
    resumed = methods.make(name, space, seed=3)
    resumed.set_state(json.loads(text))
    assert resumed.pending == [waiting] and json.dumps(resumed.state()) == text
    resumed.tell(waiting, judge(waiting))
    run(resumed, judge, 21)
    assert resumed.history == whole.history


@pytest.mark.parametrize("name", methods.METHODS)
def test_workers_may_ask_before_others_tell(name):
    """Four cells are evaluated at a time, and scores come in another order; a method may also hear of other cells."""
    judge, method = additive_scores(), methods.make(name, SPACE, seed=1)
    random = np.random.default_rng(0)
    method.tell("300000", judge("300000"))
    for _ in range(8):
        cells = [method.ask() for _ in range(4)]
        for i in random.permutation(4):
            method.tell(cells[i], judge(cells[i]))
    assert len(method.history) == 33 and not method.pending
    assert method.best()[1] == max(score for _, score in method.history)


def test_no_individual_of_regularised_evolution_is_older_than_the_population():
    method, judge = (
        methods.RegularisedEvolution(SPACE, population=7, tournament=3),
        additive_scores(),
    )
    for i in range(1, 60):
        run(method, judge, 1)
        assert method.population == method.history[max(0, i - 7) :]


def test_evolution_without_ageing_and_with_all_in_the_tournament_is_hill_climbing():
    method = methods.RegularisedEvolution(SPACE, population=5, tournament=5, ageing=False)
    run(method, additive_scores(), 5)
    for _ in range(40):
        best, score = max(method.population, key=lambda row: row[1])
        cell = method.ask()
        assert sum(a != b for a, b in zip(best, cell, strict=True)) == 1
        method.tell(cell, additive_scores()(cell))
        assert max(row[1] for row in method.population) >= score


def test_gradient_of_the_log_probability_by_finite_differences():
    random = np.random.default_rng(0)
    logits, digits = [random.normal(size=n).tolist() for n in (3, 5, 2)], (2, 0, 1)
    gradients = log_probability_gradient(logits, digits)
    for i, row in enumerate(logits):
        for j in range(len(row)):
            values = []
            for step in (1e-6, -1e-6):
                moved = [list(x) for x in logits]
                moved[i][j] += step
                values.append(log_probability(moved, digits))
            assert gradients[i][j] == pytest.approx((values[0] - values[1]) / 2e-6, abs=1e-6)


def test_a_constant_reward_moves_no_logits():
    method = run(methods.Reinforce(SPACE, seed=0), lambda cell: 70.0, 30)
    before = methods.Reinforce(SPACE, seed=0).policy["logits"]
    for row, other in zip(method.policy["logits"], before, strict=True):
        np.testing.assert_allclose(row, other, atol=1e-6)


def test_the_baseline_removes_bias_on_a_reward_of_two_options():
    """On one decision of two options with rewards 100 and 101, the policy prefers the second."""
    space = spaces.NASBenchMacro()
    method = methods.Reinforce(space, seed=0, learning_rate=0.05)
    run(method, lambda cell: 100.0 + (cell[0] == "2"), 400)
    assert method.probabilities()[0][2] > 0.9
    assert all(abs(x).max() < 0.8 for x in method.probabilities()[1:])


def test_levels_of_progressive_search():
    method, judge = (
        methods.Progressive(SPACE, seed=0, beam=4, quotas=(5, 12), batch=3),
        additive_scores(),
    )
    run(method, judge, 5)
    first = {cell for cell, _ in method.history}
    assert first == {f"{digit}00010" for digit in range(5)} and method.level == 1
    run(method, judge, 12)
    assert method.level == 2 and len(method.parents) == 4
    second = [cell for cell, _ in method.history[5:]]
    assert all(cell[3:] == "001" for cell in second)
    run(method, judge, 20)
    prefixes = {"".join(map(str, prefix)) for prefix in method.parents}
    assert {cell[:3] for cell, _ in method.history[17:]} <= prefixes
    functions = [SPACE.function(cell) for cell, _ in method.history]
    assert len(set(functions)) == len(functions)


def test_the_predictor_ranks_cells_that_it_has_not_seen():
    judge, random = additive_scores(), np.random.default_rng(0)
    cells = [SPACE.sample(random) for _ in range(200)]
    digits, scores = [SPACE.digits(cell) for cell in cells], [judge(cell) for cell in cells]
    predictor = methods.Predictor([5] * 6, digits[:60], scores[:60], random)
    predicted = predictor.predict(digits[60:])
    assert scipy.stats.spearmanr(predicted, scores[60:]).statistic > 0.8


def test_pareto_fronts_are_those_of_brute_force():
    random = np.random.default_rng(0)
    for _ in range(20):
        points = random.integers(0, 6, (40, 3))
        expected = [
            i
            for i, p in enumerate(points)
            if not any((q <= p).all() and (q < p).any() for q in points)
        ]
        assert methods.pareto_front(points) == expected
        fronts = methods.pareto_ranks(points)
        assert (
            sorted(i for front in fronts for i in front) == list(range(40))
            and fronts[0] == expected
        )
    assert methods.pareto_front([]) == []


def test_ppp_net_keeps_smaller_networks_than_progressive_search():
    """Its front of score and parameters dominates more of the plane below 500,000 parameters."""
    judge = additive_scores(seed=1)
    areas = {}
    for name in ("ppp_net", "progressive"):
        runs = [run(methods.make(name, SPACE, seed=seed), judge, 40) for seed in range(2)]
        sizes = [[SPACE.cost(cell).parameters for cell, _ in m.history] for m in runs]
        areas[name] = np.mean(sizes)
        for method in runs:
            front = method.front()
            parameters = [SPACE.cost(cell).parameters for cell, _ in front]
            assert parameters == sorted(parameters, reverse=True)
            assert front[0][1] == method.best()[1]
    assert areas["ppp_net"] < areas["progressive"]


def test_rounds_of_adanet_do_not_raise_the_objective():
    method = run(methods.AdaNet(SPACE, seed=0), additive_scores(), 120)
    falls = np.diff(method.objectives)
    starts = np.flatnonzero(falls > 0)  # a start from another cell, when no neighbour is left
    assert len(method.objectives) > 5 and len(starts) <= 2
    heavy = run(methods.AdaNet(SPACE, seed=0, penalty=1000.0), additive_scores(), 13)
    assert SPACE.cost(heavy.current[0]).parameters == SPACE.cost("111111").parameters


def test_tournaments_of_large_scale_evolution_keep_the_better_of_a_pair():
    method, judge = methods.LargeScaleEvolution(SPACE, seed=0, population=8), additive_scores()
    assert method.ask() == SPACE.smallest
    method.tell(SPACE.smallest, judge(SPACE.smallest))
    best = float("-inf")
    for _ in range(80):
        run(method, judge, 1)
        assert len(method.population) == 8
        best = max(best, method.history[-1][1])
        scores = [score for _, score in method.population if score is not None]
        assert max(scores) == max(score for _, score in method.history)


@pytest.mark.parametrize("name", ["rena", "neural_architect"])
def test_limits_of_parameters(name):
    """The best network is within the limit, and most of the later ones are, though larger ones have higher scores."""
    limit = 400_000

    def judge(cell):
        return 60 + SPACE.cost(cell).parameters / 50_000

    count = 150 if name == "rena" else 50
    method = run(methods.make(name, SPACE, seed=0, limit=limit), judge, count)
    assert name != "rena" or SPACE.cost(method.best()[0]).parameters <= limit
    free = run(methods.make(name, SPACE, seed=0), judge, count)
    sizes = [
        np.mean([SPACE.cost(cell).parameters for cell, _ in x.history[count // 2 :]])
        for x in (method, free)
    ]
    assert sizes[0] < 0.7 * sizes[1]


def test_baselines():
    largest = methods.MostParameters(SPACE, seed=0)
    cells = [largest.ask() for _ in range(8)]
    sizes = [SPACE.cost(cell).parameters for cell in cells]
    assert cells[0] == "333333" and sizes == sorted(sizes, reverse=True)
    distinct = methods.RandomSearch(MACRO, seed=0, distinct=True)
    cells = [distinct.ask() for _ in range(300)]
    assert len(set(cells)) == 300
    anynet = spaces.AnyNet("E", depth=(1, 2), width=(8, 16), input_shape=(32, 32, 3), classes=3)
    for name in ("most_parameters", "progressive", "rena", "adanet"):
        method = run(methods.make(name, anynet, seed=0), lambda cell: float(len(cell)), 3)
        assert len(method.history) == 3


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: methods.make("evolutoin", SPACE), "evolution"),
        (lambda: methods.make("evolution", SPACE, populations=3), "populations"),
        (lambda: methods.make("evolution", SPACE, population=2, tournament=3), "tournament=3"),
        (lambda: methods.make("random", SPACE, seed=-1), "seed=-1"),
        (lambda: methods.make("random", SPACE).best(), "tell"),
        (lambda: methods.make("random", SPACE).tell("303101", float("nan")), "finite"),
        (lambda: methods.make("random", SPACE).tell("3031", 1.0), "six digits"),
        (lambda: methods.make("random", SPACE).set_state({"method": "random"}), "incomplete"),
        (
            lambda: methods.make("random", SPACE).set_state(
                methods.make("evolution", SPACE).state()
            ),
            "evolution",
        ),
        (lambda: methods.make("progressive", SPACE, quotas=(3,)), "quotas"),
        (lambda: methods.make("reinforce", SPACE, learning_rate=0.0), "learning_rate"),
    ],
)
def test_mistakes_raise_in_one_line(call, words):
    with pytest.raises(ValueError, match=words) as raised:
        call()
    assert "\n" not in str(raised.value)
