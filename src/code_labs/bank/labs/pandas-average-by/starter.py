import pandas as pd


def averages(rows):
    ...
