def number_of(book, name):
    if name in book:
        return book[name]
    return "unknown"
