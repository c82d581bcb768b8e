from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest

from cytocascade.benefit import charts
from cytocascade.benefit.statistics import Interval
from cytocascade.evaluation.canvas import new_figure


@pytest.mark.parametrize(("real", "ceiling"), [(0.63, 0.67), (0.957, 0.956), (0.5, 0.5), (0.3, None)])
def test_the_names_of_the_reference_lines_do_not_lie_on_each_other(real: float, ceiling: float | None) -> None:
    means = {"real": real} | ({} if ceiling is None else {"all-real": ceiling})
    arms = {arm: {"SEG": Interval(mean=mean, low=mean, high=mean)} for arm, mean in means.items()}
    figure, axes = new_figure(1, 1, (10, 3))
    axis = axes[0, 0]
    axis.set_xlim(0, 1)
    charts._reference_lines(axis, SimpleNamespace(arms=arms), "SEG", named=True)
    figure.canvas.draw()
    boxes = sorted((text.get_window_extent() for text in axis.texts), key=lambda box: box.x0)
    assert len(boxes) == len(means)
    assert all(left.x1 <= right.x0 + 1 for left, right in pairwise(boxes))
