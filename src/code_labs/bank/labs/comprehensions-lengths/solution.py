def lengths(words):
    return {word: len(word) for word in words if len(word) >= 3}
