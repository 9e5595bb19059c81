import pandas as pd


def cheap(rows, most):
    ...
