"""Programs whose system calls a sandbox answers as the standard library expects, and programs in several parts."""

from __future__ import annotations

from tests.contract.program import Program
from tests.contract.program import program as _

CALLS = {
    # ---- files, as shutil, os and tarfile handle them
    "copystat": _(
        """
        import os, shutil
        for name in 'ab': open(name, 'w').close()
        os.utime('a', (1, 2)); os.chmod('a', 0o640)
        shutil.copystat('a', 'b')
        print(os.stat('b').st_mtime, oct(os.stat('b').st_mode))
        """
    ),
    "copytree": _(
        """
        import os, shutil
        os.makedirs('d/e'); open('d/e/a', 'w').write('x'); os.symlink('e', 'd/link')
        shutil.copytree('d', 'f', symlinks=True)
        shutil.copytree('d', 'f', dirs_exist_ok=True, ignore=lambda *_: ['link'])
        print(sorted((top, sorted(names)) for top, _, names in os.walk('f')), os.readlink('f/link'))
        """
    ),
    "copy2_and_a_move_to_another_file_system": _(
        """
        import os, shutil, tempfile
        open('a', 'w').write('x'); os.mkdir('d'); open('d/b', 'w').close()
        print(shutil.copy2('a', 'c'))
        with tempfile.TemporaryDirectory(dir='/dev/shm') as there:
            print(shutil.move('a', there + '/z')[-2:], shutil.move('d', there + '/e')[-2:])
            print(sorted(os.listdir(there)), os.listdir(there + '/e'), os.path.exists('a'), os.path.exists('d'))
        """
    ),
    "modes_of_new_files": _(
        """
        import os, tarfile
        open('a', 'w').close(); os.mkdir('d')
        print(oct(os.stat('a').st_mode), oct(os.stat('d').st_mode), oct(os.umask(0o077)))
        with tarfile.open('t.tar', 'w') as t: t.add('a')
        print(oct(tarfile.open('t.tar').getmember('a').mode))
        """
    ),
    "owners_kept": _(
        """
        import os, shutil
        open('a', 'w').close(); os.symlink('a', 'l')
        os.chown('a', -1, -1); os.chown('a', os.getuid(), os.getgid()); os.lchown('l', os.getuid(), -1)
        fd = os.open('a', os.O_RDWR); os.fchown(fd, -1, os.getgid())
        shutil.chown('a', os.getuid(), os.getgid())
        print(os.stat('a').st_uid == os.getuid())
        """
    ),
    "scattered_reads_and_writes": _(
        """
        import os
        fd = os.open('f', os.O_RDWR | os.O_CREAT)
        one, other = bytearray(3), bytearray(4)
        print(os.pwritev(fd, [b'by', b'', b'tes'], 1), os.preadv(fd, [one, other], 1), one, other)
        """
    ),
    "what_is_no_terminal": _(
        """
        import errno, fcntl, os, termios
        open('f', 'w').close()
        fd = os.open('f', os.O_RDWR)
        def refused(act, *arguments):
            try: act(*arguments)
            except (OSError, termios.error) as error: print(errno.errorcode[error.args[0]])
        refused(os.tcgetpgrp, fd)
        refused(os.tcsetpgrp, fd, os.getpgrp())
        refused(termios.tcdrain, fd)
        refused(termios.tcflush, fd, termios.TCIOFLUSH)
        refused(termios.tcgetattr, fd)
        refused(os.get_terminal_size, fd)
        """
    ),
    "a_terminal_asked_of_what_is_closed": _(
        """
        import errno, os
        def refused(act, *arguments):
            try: act(*arguments)
            except OSError as error: print(errno.errorcode[error.errno])
        refused(os.tcgetpgrp, 200)
        refused(os.tcsetpgrp, 200, os.getpgrp())
        refused(os.ttyname, 200)
        refused(os.get_terminal_size, 200)
        """
    ),
    "three_hundred_open_files": Program("print(len([open(f'f{n}', 'w') for n in range(300)]))"),
    # ---- oneself
    "priorities_and_limits_of_oneself": _(
        """
        import os, resource
        before = os.nice(0)
        print(os.nice(1) - before, os.getpriority(os.PRIO_PROCESS, 0) - before)
        os.setpriority(os.PRIO_PROCESS, os.getpid(), before + 2)
        os.sched_setaffinity(0, os.sched_getaffinity(0))
        print(os.sched_rr_get_interval(0) >= 0, os.sched_getscheduler(0) == os.SCHED_OTHER)
        resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        """
    ),
    "libraries_found": _(
        """
        import ctypes, ctypes.util
        print([ctypes.util.find_library(name) for name in ('c', 'm', 'z', 'pthread', 'no such', '')])
        print(ctypes.CDLL(ctypes.util.find_library('m'), use_errno=True).abs(-3))
        """
    ),
    # ---- threads
    "ten_threads": _(
        """
        import threading
        all_there = threading.Barrier(11)
        threads = [threading.Thread(target=all_there.wait) for _ in range(10)]
        for t in threads: t.start()
        all_there.wait()
        for t in threads: t.join()
        print(threading.active_count())
        """
    ),
    "ten_workers": _(
        """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        together = threading.Barrier(10)
        with ThreadPoolExecutor(max_workers=10) as pool:
            print(sorted(pool.map(lambda n: (together.wait(), n)[1], range(10))))
        """
    ),
    "as_many_workers_as_a_pool_takes_anywhere": _(
        """
        import threading
        from concurrent.futures import ThreadPoolExecutor
        together = threading.Barrier(32)  # min(32, processors + 4) is the default
        with ThreadPoolExecutor(32) as pool:
            print(sum(pool.map(lambda n: (together.wait(), n)[1], range(32))))
        """
    ),
    "a_stack_of_512_megabytes": _(
        """
        import sys, threading
        sys.setrecursionlimit(10**6)
        threading.stack_size(512 << 20)
        def depth(n): return n and 1 + depth(n - 1)
        t = threading.Thread(target=lambda: print(depth(30_000)))
        t.start(); t.join()
        print(threading.stack_size() >> 20)
        """
    ),
    "several_large_stacks": _(
        """
        import threading
        threading.stack_size(256 << 20)
        together = threading.Barrier(4)
        for _ in range(3):
            threads = [threading.Thread(target=together.wait) for _ in range(4)]
            for t in threads: t.start()
            for t in threads: t.join()
        print(len(bytearray(100 << 20)) >> 20)
        """
    ),
    # ---- processes
    "a_pool_of_eight": _(
        """
        from multiprocessing import Pool
        def f(x): return x * x
        if __name__ == '__main__':
            with Pool(8) as pool:
                print(pool.map(f, range(8)), pool.apply_async(f, (9,)).get(), list(pool.imap(f, [1, 2])))
        """
    ),
    "ten_processes_of_an_executor": _(
        """
        from concurrent.futures import ProcessPoolExecutor, as_completed
        with ProcessPoolExecutor(10) as pool:
            print(sorted(future.result() for future in as_completed(pool.submit(abs, -n) for n in range(20))))
        """
    ),
    "a_manager": _(
        """
        import multiprocessing as mp
        def work(n, found, log, space, lock, queue):
            with lock: space.total += n
            found[n] = n * n; log.append(n); queue.put(n)
        if __name__ == '__main__':
            with mp.Manager() as m:
                found, log, space, lock, queue = m.dict(), m.list(), m.Namespace(total=0), m.Lock(), m.Queue()
                ps = [mp.Process(target=work, args=(n, found, log, space, lock, queue)) for n in range(4)]
                for p in ps: p.start()
                for p in ps: p.join()
                print(sorted(found.items()), sorted(log), space.total, sorted(queue.get() for _ in ps))
                print(m.Value('i', 5).value, m.Array('i', [1, 2])[1], m.Event().is_set(), [p.exitcode for p in ps])
                try: found['no']
                except KeyError as error: print(repr(error))
        """
    ),
    "a_manager_that_is_younger_than_the_pool": _(
        """
        import multiprocessing as mp
        def put(queue, n): queue.put(n); return n
        if __name__ == '__main__':
            with mp.Pool(8) as pool, mp.Manager() as manager:
                queue = manager.Queue()
                print(pool.starmap(put, [(queue, n) for n in range(16)]) == list(range(16)))
                print(sorted(queue.get() for _ in range(16)) == list(range(16)))
        """
    ),
    "a_manager_of_ones_own": _(
        """
        from multiprocessing.managers import BaseManager
        class Counter:
            def __init__(self): self.n = 0
            def up(self): self.n += 1; return self.n
        class Mine(BaseManager): pass
        Mine.register('Counter', Counter)
        if __name__ == '__main__':
            with Mine() as manager:
                counter = manager.Counter(); counter.up()
                print(counter.up())
        """
    ),
    "shared_memory": _(
        """
        import multiprocessing as mp
        from multiprocessing import shared_memory
        def fill(name):
            there = shared_memory.SharedMemory(name); there.buf[:3] = b'abc'; there.close()
        if __name__ == '__main__':
            for _ in range(5):
                memory = shared_memory.SharedMemory(create=True, size=10)
                p = mp.Process(target=fill, args=(memory.name,)); p.start(); p.join()
                print(bytes(memory.buf[:3])); memory.close(); memory.unlink()
            items = shared_memory.ShareableList([1, 'two', 3.0, None])
            print(list(items)); items.shm.close(); items.shm.unlink()
            try: shared_memory.SharedMemory('nowhere')
            except FileNotFoundError as error: print(error)
        """
    ),
    "shared_memory_of_a_manager": _(
        """
        from multiprocessing.managers import SharedMemoryManager
        if __name__ == '__main__':
            with SharedMemoryManager() as manager:
                memory = manager.SharedMemory(size=8); memory.buf[0] = 7
                print(memory.buf[0], list(manager.ShareableList(range(3))))
        """
    ),
    "all_that_waits": _(
        """
        import multiprocessing as mp
        def work(event, barrier, semaphore, value, array, condition, queue, end):
            event.wait(); barrier.wait()
            with semaphore, value.get_lock(): value.value += 1
            with condition: array[0] += 1; condition.notify()
            queue.put('done'); end.send(('sent', value.value > 0)); end.close()
        if __name__ == '__main__':
            event, barrier, semaphore = mp.Event(), mp.Barrier(3), mp.BoundedSemaphore(1)
            value, array, condition = mp.Value('i', 0), mp.Array('i', 2), mp.Condition()
            queue, (mine, end) = mp.SimpleQueue(), mp.Pipe()
            shared = (event, barrier, semaphore, value, array, condition, queue, end)
            ps = [mp.Process(target=work, args=shared, daemon=True) for _ in range(2)]
            for p in ps: p.start()
            event.set(); barrier.wait()
            with condition: print(condition.wait_for(lambda: array[0] == 2, 10))
            for p in ps: p.join()
            print(value.value, list(array), queue.get(), queue.get(), mine.recv(), mine.poll(1), mp.active_children())
        """
    ),
    "a_listener_and_its_client": _(
        """
        import threading
        from multiprocessing.connection import Client, Listener, wait
        with Listener(authkey=b'key') as listener:
            def serve():
                with listener.accept() as one: one.send(one.recv() * 2)
            t = threading.Thread(target=serve); t.start()
            with Client(listener.address, authkey=b'key') as two:
                two.send([1, 2]); print(wait([two], 10) == [two], two.recv())
            t.join()
        """
    ),
    "a_child_that_ends_badly": _(
        """
        import multiprocessing as mp, os, signal, sys
        from concurrent.futures import ProcessPoolExecutor
        from concurrent.futures.process import BrokenProcessPool
        def leave(status): sys.exit(status)
        def die(): os.kill(os.getpid(), signal.SIGKILL)
        if __name__ == '__main__':
            one, two = mp.Process(target=leave, args=(3,)), mp.Process(target=die)
            for p in (one, two): p.start(); p.join(); print(p.exitcode)
            with ProcessPoolExecutor(1) as pool:
                try: pool.submit(die).result()
                except BrokenProcessPool as error: print(type(error).__name__)
        """
    ),
    "numbers_of_services_and_protocols": _(
        """
        import socket
        def told(ask, *arguments):
            try: print(ask(*arguments))
            except OSError as error: print(error)
        told(socket.getservbyname, 'https')
        told(socket.getservbyport, 22)
        told(socket.getservbyname, 'no such')
        told(socket.getprotobyname, 'icmp')
        """
    ),
    # ---- Unix streams
    "a_unix_server_of_threads": _(
        """
        import os, socket, socketserver, threading
        class Upper(socketserver.StreamRequestHandler):
            def handle(self): self.wfile.write(self.rfile.readline().upper())
        with socketserver.ThreadingUnixStreamServer('socket', Upper) as server:
            threading.Thread(target=server.serve_forever).start()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect('socket'); client.sendall(b'hello\\n'); print(client.recv(99))
            server.shutdown()
        """
    ),
    "a_unix_server_of_asyncio": _(
        """
        import asyncio
        async def echo(reader, writer):
            writer.writelines([await reader.readline(), b'x' * 300_000]); await writer.drain(); writer.close()
        async def main():
            async with await asyncio.start_unix_server(echo, 'socket'):
                reader, writer = await asyncio.open_unix_connection('socket')
                writer.write(b'hello\\n'); writer.write_eof()
                print(len(await reader.read()))
                writer.close(); await writer.wait_closed()
        asyncio.run(main())
        """
    ),
    "a_name_without_a_file": _(
        """
        import socket
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind('\\0mine'); server.listen(1); client.connect('\\0mine')
            print(server.accept()[0].getsockname(), client.getpeername())
        """
    ),
}
