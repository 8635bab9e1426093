"""The memory that this process can have."""

import os
import pathlib

try:
    import resource
except ImportError:  # Windows
    resource = None


def available_memory() -> int:
    """Returns bytes: what the machine has available, and at most the limits of its control group and of `ulimit`."""
    limits = [2**63, *_of_machine(), *_of_control_group()]
    if resource is not None:
        values = (
            resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)
        )
        limits += [value for value in values if value != resource.RLIM_INFINITY]
    return min(limits)


def _of_machine():
    try:
        for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024
                return
    except (OSError, ValueError):
        pass
    try:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):  # unknown
        return


def _of_control_group():
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            text = pathlib.Path("/sys/fs/cgroup", name).read_text(encoding="utf-8").strip()
        except OSError:
            continue
        if text.isdigit():
            yield int(text)
