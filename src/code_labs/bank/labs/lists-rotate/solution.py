def rotate(items, n):
    return items[n:] + items[:n]
