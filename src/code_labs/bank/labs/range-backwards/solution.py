def down(n):
    return list(range(n, -1, -2))
