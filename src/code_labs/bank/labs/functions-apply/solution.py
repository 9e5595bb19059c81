def double(x):
    return 2 * x


def add_three(x):
    return x + 3


def repeat(function, times, value):
    for _ in range(times):
        value = function(value)
    return value
