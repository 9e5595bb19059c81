celsius = float(input())
print(f"{celsius * 9 / 5 + 32:.1f}")
