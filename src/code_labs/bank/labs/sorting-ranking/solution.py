def ranking(points):
    return sorted(points, key=lambda name: (-points[name], name))
