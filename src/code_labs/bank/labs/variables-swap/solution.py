first = input()
second = input()
first, second = second, first
print(first)
print(second)
