def save(items, path):
    with open(path, "w") as file:
        for number, item in enumerate(items, 1):
            file.write(f"{number}. {item}\n")
    return len(items)
