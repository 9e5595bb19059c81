import numpy as np


def above(values):
    array = np.array(values)
    return int((array > array.mean()).sum())
