import pandas as pd


def averages(rows):
    table = pd.DataFrame(rows, columns=["city", "degrees"])
    return table.groupby("city")["degrees"].mean().to_dict()
