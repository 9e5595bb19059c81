import { RunCode } from "./run-code";

const PROGRAM = `for n in range(1, 6):
    print(n, "squared is", n ** 2)`;

export default function Page() {
  return (
    <main>
      <h1>Lesson 1: squares</h1>
      <p>Change the program, and run it.</p>
      <RunCode label="Squares">{PROGRAM}</RunCode>
    </main>
  );
}
