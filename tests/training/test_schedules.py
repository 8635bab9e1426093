"""The learning rate of the Transformer by the equation of its paper."""

import keras
import numpy as np
import pytest

from kapps import training


class TestTransformerSchedule:
    def test_equation_of_the_paper(self):
        rate = training.transformer_schedule(512)
        for n in (1, 10, 3999, 4000, 4001, 100_000):
            expected = 512**-0.5 * min(n**-0.5, n * 4000**-1.5)
            assert float(rate(n - 1)) == pytest.approx(expected, rel=1e-5)

    def test_inverse_square_root_has_its_peak_after_the_warmup(self):
        rate = training.InverseSquareRoot(5e-3, 2000)
        values = [float(rate(n - 1)) for n in (1, 1000, 2000, 8000)]
        np.testing.assert_allclose(values, [5e-3 / 2000, 2.5e-3, 5e-3, 2.5e-3], rtol=1e-5)
        restored = keras.optimizers.Adam.from_config(keras.optimizers.Adam(rate).get_config())
        assert float(restored._learning_rate(999)) == values[1]
        for peak, warmup in ((0, 10), (1e-3, 0)):
            with pytest.raises(ValueError, match=f"peak={peak}, warmup={warmup}"):
                training.InverseSquareRoot(peak, warmup)
