"""The parts that the images are divided into, in their order; apart from the split, whose library takes a second."""

PARTS = ("train", "val", "test")
