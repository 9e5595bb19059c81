def insert(numbers, new):
    place = 0
    while place < len(numbers) and numbers[place] < new:
        place += 1
    return numbers[:place] + [new] + numbers[place:]
