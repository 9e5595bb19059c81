def withdraw(balance, amount):
    if amount < 0:
        raise ValueError("negative amount")
    if amount > balance:
        raise ValueError("not enough money")
    return balance - amount
