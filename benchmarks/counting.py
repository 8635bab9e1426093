"""What counting a network takes beside building it: `kapps.profile`, and PyTorch's counters on the same networks.

    python benchmarks/counting.py --peer_python=/path/to/python/with/torch

kapps counts on shapes. torchinfo (`pip install torchinfo`) and PyTorch's own FlopCounterMode run the network on a
image of zeros. Building is done in the same process as counting; all take turns.
"""

import argparse
import functools
import statistics
import sys

import contest

#  kapps             torchvision
NETWORKS = (
    ("resnet18", "resnet18"),
    ("resnet50", "resnet50"),
    ("resnext50", "resnext50_32x4d"),
    ("resnet152", "resnet152"),
)
COUNTERS = {"keras": ("build", "profile"), "torch": ("build", "torchinfo", "FlopCounterMode")}


def prepare_keras(name):
    """Returns the work "build|resnet50" or "profile|resnet50"."""
    import kapps

    what, network = name.split("|")
    build = getattr(kapps, network)
    return build if what == "build" else functools.partial(kapps.profile, build())


def prepare_torch(name):
    """Returns the work "build|resnet50", "torchinfo|resnet50" or "FlopCounterMode|resnet50"."""
    # torchvision's own wheel beside a CPU-only PyTorch needs what this declares.
    contest.TorchStep("resnet18", 1, 32)
    import torch
    import torchvision

    what, network = name.split("|")
    build = functools.partial(torchvision.models.get_model, network, weights=None)
    if what == "build":
        return build
    model = build().eval()
    if what == "torchinfo":
        import torchinfo

        return functools.partial(torchinfo.summary, model, (1, 3, 224, 224), verbose=0)
    return functools.partial(flop_counter, model, torch.zeros(1, 3, 224, 224))


def flop_counter(model, image):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    return counter.get_total_flops() // 2


def compare(options):
    """Asks all in turn and prints the table."""
    pythons = {"keras": sys.executable} | (
        {"torch": options.peer_python} if options.peer_python else {}
    )
    contenders = {
        name: contest.Contender([python, __file__, f"--contender={name}"])
        for name, python in pythons.items()
    }
    networks = NETWORKS[: options.networks]
    seconds = {}
    for number in range(options.rounds):
        for ours, theirs in networks:
            for name in list(contenders):
                for what in COUNTERS[name]:
                    network = ours if name == "keras" else theirs
                    try:
                        took = contenders[name].ask(f"{what}|{network}")
                    except contest.Left as left:
                        print(f"{name} stops at {what} of {network}: {left}")
                        contenders.pop(name).close()
                        break
                    seconds.setdefault((ours, name, what), []).append(took)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    for contender in contenders.values():
        contender.close()
    show(networks, seconds, options.rounds)


def show(networks, seconds, rounds):
    columns = [(name, what) for name, whats in COUNTERS.items() for what in whats]
    print(f"seconds, median of {rounds}, {contest.CORES} cores, 224x224")
    print(f"{'':12}" + "".join(f"{name + ' ' + what:>23}" for name, what in columns))
    for ours, _ in networks:
        cells = [seconds.get((ours, *column)) for column in columns]
        shown = (f"{statistics.median(cell):.3f}" if cell else "-" for cell in cells)
        print(f"{ours:12}" + "".join(f"{cell:>23}" for cell in shown))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peer_python", help="an interpreter with torch, torchvision and torchinfo"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", type=int, default=len(NETWORKS), help="the first so many")
    parser.add_argument("--quick", action="store_true", help="see that it runs: one network, once")
    parser.add_argument("--contender", choices=COUNTERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        prepare = prepare_torch if options.contender == "torch" else prepare_keras
        contest.serve(prepare, named=True)
        return
    if options.quick:
        options.rounds = options.networks = 1
    if not options.peer_python:
        print("PyTorch is left out: --peer_python=PYTHON names one with torch")
    compare(options)


if __name__ == "__main__":
    main()
