"""The check of HDF5 files before they are read."""

import h5py
import numpy as np
import pytest

from kapps.weights._hdf5_files import check_hdf5_file


@pytest.mark.long
def test_a_file_of_as_many_arrays_as_are_allowed_is_read(tmp_path):
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        for i in range(9_900):  # an array and its group each
            file[f"{i}/0"] = np.zeros(200, "float32")
    check_hdf5_file(path)
