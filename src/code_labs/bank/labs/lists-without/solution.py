def without(items, unwanted):
    kept = []
    for item in items:
        if item != unwanted:
            kept.append(item)
    return kept
