def best(points):
    winner = None
    for name in sorted(points):
        if winner is None or points[name] > points[winner]:
            winner = name
    return winner
