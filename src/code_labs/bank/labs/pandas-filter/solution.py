import pandas as pd


def cheap(rows, most):
    table = pd.DataFrame(rows, columns=["name", "price"])
    return table[table["price"] <= most].sort_values("price")["name"].tolist()
