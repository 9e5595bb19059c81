print("  *")
print(" ***")
print("*****")
print("  |")
