def flat(rows):
    return [item for row in rows for item in row if item != 0]
