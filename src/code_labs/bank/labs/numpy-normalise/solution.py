import numpy as np


def centred(values):
    array = np.array(values, dtype=float)
    return array - array.mean()
