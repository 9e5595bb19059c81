day = 24
month = 12
year = 2030
print(day, month, year, sep=".")
