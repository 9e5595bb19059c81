def shifted(text, n):
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    result = ""
    for letter in text:
        if letter in alphabet:
            place = (alphabet.index(letter) + n) % 26
            result += alphabet[place]
        else:
            result += letter
    return result
