def ticket(age):
    if age < 6:
        return 0
    if age < 18:
        return 4
    if age >= 65:
        return 6
    return 9
