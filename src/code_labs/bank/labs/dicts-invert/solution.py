def inverted(table):
    result = {}
    for key, value in table.items():
        result[value] = key
    return result
