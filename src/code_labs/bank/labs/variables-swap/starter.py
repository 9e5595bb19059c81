first = input()
second = input()

# Swap them here.

print(first)
print(second)
