width = 12
length = 7
print(width * length)
print(2 * (width + length))
