def double(x):
    return 2 * x


def add_three(x):
    return x + 3


def repeat(function, times, value):
    ...
