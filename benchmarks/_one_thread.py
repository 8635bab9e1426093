"""Sets the threads of NumPy's matrix products to one: many small matrices, in as many processes as there are cores."""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
