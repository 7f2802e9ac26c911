"""The boxes of the architecture diagram and the format of their counts."""

from itertools import pairwise

import pytest

from realwaste.models import cnn, layer_table
from realwaste.report import architecture_diagram


def test_boxes_are_trained_partly_trained_or_frozen_and_do_not_overlap():
    table = layer_table.describe(cnn.build(16, 2, batch_norm_momentum=0.9)).table()
    assert [box.state for box in architecture_diagram.layout_boxes(table)][:4] == ["trained", "trained", "", ""]
    frozen = table.assign(trained_parameters=0, trained_layers=0)
    assert {box.state for box in architecture_diagram.layout_boxes(frozen)} == {"frozen", ""}
    partly_trained = table.assign(trained_parameters=1)
    assert architecture_diagram.layout_boxes(partly_trained)[0].state == "partly trained"
    boxes = architecture_diagram.layout_boxes(table)
    assert all(box.top + box.height < next_box.top for box, next_box in pairwise(boxes))
    assert sum(box.share for box in boxes) == pytest.approx(1)


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0"), (896, "896"), (18_496, "18.5 k"), (999_900, "1 M"), (13_154_455_776, "13.2 G")]
)
def test_large_counts_are_formatted_with_units(count, expected):
    assert architecture_diagram.format_count(count) == expected
