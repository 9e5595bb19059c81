def total(path):
    result = 0
    with open(path) as file:
        for line in file:
            if line.strip():
                result += int(line)
    return result
