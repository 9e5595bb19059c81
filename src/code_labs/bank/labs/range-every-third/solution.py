def every_third(start, stop):
    return list(range(start, stop, 3))
