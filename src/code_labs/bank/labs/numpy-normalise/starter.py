import numpy as np


def centred(values):
    ...
