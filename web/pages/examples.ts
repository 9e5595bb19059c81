/** The gallery: programs that show what the service does with text, input, pictures, tables, files and mistakes. */

import type { InputFile } from "../src/wire.js";

export interface Example {
  id: string;
  title: string;
  about: string;
  code: string;
  timeout?: number;
  files?: InputFile[];
}

export const EXAMPLES: readonly Example[] = [
  {
    id: "text",
    title: "Text",
    about: "What a program prints appears as it is printed.",
    code: `import time

for number in range(1, 6):
    print(number, "squared is", number ** 2)
    time.sleep(0.3)

print("Done.")
`,
  },
  {
    id: "input",
    title: "Input",
    about: "The program waits for what you type, as it does in a terminal.",
    code: `name = input("What is your name? ")
print("Hello,", name)

while True:
    answer = input("A number, or nothing to end: ")
    if not answer:
        break
    print("Twice that is", 2 * float(answer))

print("Goodbye,", name)
`,
  },
  {
    id: "plots",
    title: "Plots",
    about: "Each plt.show() adds a picture, at once.",
    code: `import matplotlib.pyplot as plt
import numpy as np

x = np.linspace(0, 4 * np.pi, 400)

plt.figure(figsize=(7, 3.2))
plt.plot(x, np.sin(x), label="sin x")
plt.plot(x, np.sin(x) * np.exp(-x / 6), label="damped")
plt.title("A wave, and one that fades")
plt.legend()
plt.grid(alpha=0.3)
plt.show()

plt.figure(figsize=(7, 3.2))
plt.hist(np.random.default_rng(1).normal(size=2000), bins=40, color="tab:green")
plt.title("Two thousand random numbers")
plt.show()
`,
  },
  {
    id: "tables",
    title: "Tables",
    about: "A table on the last line is shown as one.",
    code: `import pandas as pd

planets = pd.DataFrame(
    {
        "planet": ["Mercury", "Venus", "Earth", "Mars", "Jupiter"],
        "radius (km)": [2440, 6052, 6371, 3390, 69911],
        "moons": [0, 0, 1, 2, 95],
    }
).set_index("planet")

print("Moons in all:", planets["moons"].sum())

planets.sort_values("radius (km)", ascending=False)
`,
  },
  {
    id: "files",
    title: "Files",
    about: "A file that comes with the program goes in, and what the program saves comes out as a download.",
    files: [{ path: "weather.csv", content: "city,january,july\nOslo,-3.1,18.4\nRome,7.5,26.2\nCairo,14.0,28.9\nNairobi,20.1,17.5\n" }],
    code: `import pandas as pd

weather = pd.read_csv("weather.csv", index_col="city")
weather["difference"] = weather["july"] - weather["january"]

print(weather)
weather.to_csv("difference.csv")
`,
  },
  {
    id: "errors",
    title: "Errors",
    about: "When a program fails, its line is marked in the editor.",
    code: `def average(numbers):
    return sum(numbers) / len(numbers)


print("The average of 3, 4 and 8 is", average([3, 4, 8]))
print("The average of nothing is", average([]))
`,
  },
  {
    id: "rules",
    title: "Not allowed",
    about: "What a program may not do is underlined while you type.",
    code: `import os

# a program here may compute, but not look around
for name in os.listdir("/"):
    print(name)

print(eval("6 * 7"))
`,
  },
  {
    id: "timeout",
    title: "Too slow",
    about: "A program that does not end is stopped. This one has three seconds.",
    timeout: 3,
    code: `import time

seconds = 0
while True:
    print("still counting:", seconds)
    time.sleep(1)
    seconds += 1
`,
  },
];
