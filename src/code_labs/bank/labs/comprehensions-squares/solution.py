def even_squares(numbers):
    return [number**2 for number in numbers if number % 2 == 0]
