n = int(input())
for row in range(1, n + 1):
    products = []
    for column in range(1, n + 1):
        products.append(str(row * column))
    print(" ".join(products))
