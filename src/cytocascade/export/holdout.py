"""Which samples are held out for testing."""

from __future__ import annotations

from fractions import Fraction

from cytocascade.errors import CytoCascadeError


class HoldOut:
    """A share of the samples that goes to the test set, chosen by the index alone.

    Parameters
    ----------
    test_fraction : float, [0, 1)
        Share of the samples. They are spread evenly, the last of every ``1 / test_fraction``.
    """

    def __init__(self, test_fraction: float = 0.0) -> None:
        if not 0.0 <= test_fraction < 1.0:
            raise CytoCascadeError(
                f"The test fraction is {test_fraction}; it must be at least 0 and below 1.",
                hint="For example 0.1 for every tenth image.",
            )
        # A fraction such as 0.1 has no exact float; rounding errors must not decide where a sample goes.
        self._share = Fraction(test_fraction).limit_denominator(10_000)

    def __bool__(self) -> bool:
        """Return whether any sample is held out."""
        return self._share > 0

    def is_test(self, index: int) -> bool:
        """Return whether the sample with this index is held out."""
        return int((index + 1) * self._share) > int(index * self._share)

    def part(self, index: int) -> str:
        """Return ``"test"`` or ``"train"``."""
        return "test" if self.is_test(index) else "train"
