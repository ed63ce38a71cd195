"""From a data set's pictures to the arrays a run trains on: items, splits, the image store, augmentation."""
