print("  *")
