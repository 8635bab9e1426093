"""Compares search methods on a published table of trained networks: the same number of evaluations, many seeds.

    python benchmarks/architecture_search.py nasbench201.csv
    python benchmarks/architecture_search.py nasbench201.csv --methods=random,evolution,reinforce --evaluations=500

A method sees one column of the table, such as the validation accuracy after 12 epochs of one training. The reported
value is another column of the best-scored network so far, such as the test accuracy after 200 epochs. Results:
docs/search.md.
"""

import multiprocessing
import os
import pathlib
import sys
import time

import _one_thread  # noqa: F401  # before NumPy
import numpy as np

from kapps import _errors, tables, visualize
from kapps._arguments import Parser, integer, output_path, path
from kapps.search import spaces
from kapps.search.methods import METHODS, make
from kapps.search.published_table import PublishedTable, incumbents

SPACES = {"nasbench201": spaces.NASBench201, "nasbench_macro": spaces.NASBenchMacro}
PAPER = {"random": "93.70 ± 0.36", "evolution": "93.92 ± 0.30", "reinforce": "93.85 ± 0.37"}
"""CIFAR-10 test accuracy in the paper of NAS-Bench-201, for a budget of seconds that is 100 to 150 networks."""
COLUMNS = (
    tables.Column("method", "method"),
    tables.Column("mean", "mean", ".2f"),
    tables.Column("deviation", "deviation", ".2f"),
    tables.Column("paper", "paper"),
    tables.Column("others", "other columns"),
    tables.Column("regrets", "regret after"),
    tables.Column("distinct", "different functions", ".0f"),
    tables.Column("seconds", "CPU seconds a search", ".2f"),
)
_shared = {}


def search(job):
    """Returns (reported values after each evaluation, number of functions, CPU seconds) of one search."""
    name, seed, evaluations = job
    space, table, options = _shared["space"], _shared["table"], _shared["options"]
    judge = table.judge(options.score)
    start = time.process_time()
    method = make(name, space, seed=seed)
    for _ in range(evaluations):
        cell = method.ask()
        method.tell(cell, judge(cell))
    seconds = time.process_time() - start
    values = [incumbents(method.history, table.judge(column)) for column in options.report]
    return values, len({space.function(cell) for cell, _ in method.history}), seconds


def compare(options):
    """Runs all searches, prints the table, and writes the plot."""
    names = options.methods.split(",")
    options.report = options.report.split(",")
    for name in names:
        make(name, SPACES[options.space]())  # a wrong name is an error before the first search
    table = PublishedTable(options.table)
    for column in (options.score, *options.report):
        table.values(column)
    _shared.update(space=SPACES[options.space](), table=table, options=options)
    _, optimum = table.best(options.report[0])
    steps = [n for n in (20, 50, 100, 200, 500, 1000) if n <= options.evaluations]
    rows, curves = [], {}
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        for name in names:
            jobs = [(name, seed, options.evaluations) for seed in range(options.seeds)]
            results = pool.map(search, jobs, chunksize=max(1, len(jobs) // 40))
            values = np.array([result[0] for result in results])  # (seeds, columns, evaluations)
            last = values[:, :, -1]
            curves[name] = optimum - values[:, 0]
            others = last[:, 1:]
            rows.append({
                "method": name,
                "mean": last[:, 0].mean(),
                "deviation": last[:, 0].std(),
                "paper": PAPER.get(name, "") if options.space == "nasbench201" else "",
                "others": " / ".join(
                    f"{x:.2f} ± {s:.2f}" for x, s in zip(others.mean(axis=0), others.std(axis=0), strict=True)
                ),
                "regrets": ", ".join(f"{n}: {curves[name][:, n - 1].mean():.2f}" for n in steps),
                "distinct": np.mean([result[1] for result in results]),
                "seconds": np.mean([result[2] for result in results]),
            })  # fmt: skip
            print(f"{name}: {rows[-1]['mean']:.2f}", file=sys.stderr, flush=True)
    note = (
        f"{options.seeds} seeds, {options.evaluations} evaluations. Score: {options.score}; reported: "
        f"{', '.join(options.report)}; the largest {options.report[0]} of the table is {optimum:.2f}."
    )
    result = tables.Table(f"Search methods on {options.space}", COLUMNS, tuple(rows), (note,))
    print(result.text())
    if options.markdown:
        pathlib.Path(options.markdown).write_text(result.markdown() + "\n", encoding="utf-8")
    if options.plot:
        visualize.plot_regret(
            curves, options.plot, ylabel=f"{optimum:.2f} less {options.report[0]}"
        )


def parse():
    """Returns the options of the command line."""
    parser = Parser(description=__doc__.partition("\n")[0])
    parser.add_argument("table", type=path, help="a CSV file of trained networks")
    parser.add_argument("--space", choices=tuple(SPACES), default="nasbench201")
    parser.add_argument("--methods", default=",".join(METHODS), help="names, separated by commas")
    parser.add_argument("--evaluations", type=integer(1, 10**5), default=100)
    parser.add_argument("--seeds", type=integer(1, 10**5), default=200)
    parser.add_argument("--score", default="cifar10_valid_12", help="column that the methods see")
    parser.add_argument(
        "--report", default="cifar10_test_200,cifar100_test_200,imagenet16_test_200", help="columns"
    )
    parser.add_argument("--processes", type=integer(1, 1024), default=os.cpu_count())
    parser.add_argument("--plot", type=output_path, help="file of the regret curves")
    parser.add_argument("--markdown", type=output_path, help="file of the table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(_errors.run(lambda: compare(parse()), "architecture_search.py"))
