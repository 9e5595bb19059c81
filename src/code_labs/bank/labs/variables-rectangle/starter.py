width = 12
