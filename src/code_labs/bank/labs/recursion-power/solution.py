def power(base, n):
    if n == 0:
        return 1
    half = power(base, n // 2)
    if n % 2 == 0:
        return half * half
    return half * half * base
