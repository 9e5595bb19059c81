def quotients(pairs):
    results = []
    for first, second in pairs:
        try:
            results.append(first / second)
        except ZeroDivisionError:
            results.append("error")
    return results
