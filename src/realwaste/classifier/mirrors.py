"""The mirror images that a classifier may look at beside a picture (realwaste.classifier.test_time_augmentation)."""

# For each number of views, the axes of (n, height, width, 3) that each view is turned round in.
AXES: dict[int, list[tuple[int, ...]]] = {1: [()], 2: [(), (2,)], 4: [(), (1,), (2,), (1, 2)]}
