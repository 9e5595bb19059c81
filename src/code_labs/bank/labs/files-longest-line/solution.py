def longest(path):
    best = ""
    with open(path) as file:
        for line in file:
            line = line.rstrip("\n")
            if len(line) > len(best):
                best = line
    return best
