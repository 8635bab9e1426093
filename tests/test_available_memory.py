"""The memory that a process can have."""

import resource

from kapps._available_memory import available_memory


def test_the_limit_of_the_process_is_a_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    for limit in (2**45, 2**33):
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
        try:
            assert 0 < available_memory() <= limit
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
