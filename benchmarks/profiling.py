"""Time of `kapps.profile` next to the time of building the network, and next to PyTorch's counters.

    python benchmarks/profiling.py --peer_python=/path/to/python/with/torch

kapps computes costs from shapes. torchinfo (`pip install torchinfo`) and PyTorch's FlopCounterMode run the network on
an image of zeros. Each library builds and counts in one process; the processes take turns.
"""

import argparse
import functools
import statistics
import sys

import _timing

#  kapps        torchvision
NETWORKS = (
    ("resnet18", "resnet18"),
    ("resnet50", "resnet50"),
    ("resnext50", "resnext50_32x4d"),
    ("resnet152", "resnet152"),
)
WORKS = {"keras": ("build", "profile"), "torch": ("build", "torchinfo", "FlopCounterMode")}


def prepare_keras(name):
    """Returns the work "build|resnet50" or "profile|resnet50"."""
    import kapps

    work, network = name.split("|")
    build = getattr(kapps, network)
    return build if work == "build" else functools.partial(kapps.profile, build())


def prepare_torch(name):
    """Returns the work "build|resnet50", "torchinfo|resnet50" or "FlopCounterMode|resnet50"."""
    work, network = name.split("|")
    build = _timing.torch_builder(network)
    if work == "build":
        return build
    model = build().eval()
    if work == "torchinfo":
        import torchinfo

        return functools.partial(torchinfo.summary, model, (1, 3, 224, 224), verbose=0)
    import torch

    return functools.partial(count_flops, model, torch.zeros(1, 3, 224, 224))


def count_flops(model, image):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    return counter.get_total_flops() // 2


def compare(options):
    """Runs all processes in turn and prints the table."""
    pythons = {"keras": sys.executable}
    if options.peer_python:
        pythons["torch"] = options.peer_python
    processes = {
        name: _timing.TimedProcess([python, __file__, f"--library={name}"])
        for name, python in pythons.items()
    }
    networks = NETWORKS[: options.networks]
    seconds = {}
    for number in range(options.rounds):
        for kapps_name, torch_name in networks:
            for library in list(processes):
                for work in WORKS[library]:
                    network = kapps_name if library == "keras" else torch_name
                    try:
                        result = processes[library].run(f"{work}|{network}")
                    except _timing.ProcessError as error:
                        print(f"{library} stops at {work} of {network}: {error}")
                        processes.pop(library).close()
                        break
                    seconds.setdefault((kapps_name, library, work), []).append(result)
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    for process in processes.values():
        process.close()
    print_table(networks, seconds, options.rounds)


def print_table(networks, seconds, rounds):
    columns = [(library, work) for library, works in WORKS.items() for work in works]
    print(f"seconds, median of {rounds} rounds, {_timing.CORES} cores, 224x224")
    print(f"{'':12}" + "".join(f"{library + ' ' + work:>23}" for library, work in columns))
    for network, _ in networks:
        times = [seconds.get((network, *column)) for column in columns]
        cells = (f"{statistics.median(values):.3f}" if values else "-" for values in times)
        print(f"{network:12}" + "".join(f"{cell:>23}" for cell in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer_python", help="interpreter with torch, torchvision and torchinfo")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--networks", type=int, default=len(NETWORKS), help="number of networks")
    parser.add_argument("--quick", action="store_true", help="one network and one round")
    parser.add_argument("--library", choices=WORKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        prepare = prepare_torch if options.library == "torch" else prepare_keras
        _timing.serve(prepare, with_work=True)
        return
    if options.quick:
        options.rounds = options.networks = 1
    if not options.peer_python:
        print("PyTorch is left out: --peer_python needs a Python with torch")
    compare(options)


if __name__ == "__main__":
    main()
