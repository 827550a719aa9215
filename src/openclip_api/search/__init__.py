"""A store of vectors on a disk, searched where it lies."""
