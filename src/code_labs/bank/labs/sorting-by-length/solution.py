def by_length(words):
    return sorted(words, key=lambda word: (len(word), word))
