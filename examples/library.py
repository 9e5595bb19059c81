"""Run programs from a program with an event loop: several at once, one as it writes, one that fails."""

import asyncio

from code_executor import Execution, Executor, Output, Result


async def main() -> None:
    async with Executor.open() as executor:
        programs = [f"print(sum(range({10**n})))" for n in range(1, 5)]
        for result in await asyncio.gather(*(executor.run(program) for program in programs)):
            print(result.status, result.output.strip())

        async for event in executor.stream(Execution("for n in range(3): print(n)")):
            match event:
                case Output(stream="stdout", data=data):
                    print("wrote", repr(data))
                case Result():
                    print("ended:", event.reason)

        result = await executor.run("while True: pass", timeout=0.5)
        print(result.status, "-", result.error)


asyncio.run(main())
