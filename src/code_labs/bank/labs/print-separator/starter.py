day = 24
month = 12
year = 2030
