"""A program has a name: that of its uid, which is its own, and it meets none of the host's."""

from __future__ import annotations

import pytest

from code_executor import Executor

pytestmark = pytest.mark.anyio


async def test_a_program_owns_its_files_by_name(executor: Executor) -> None:
    result = await executor.run(
        "import getpass, grp, os, pathlib, pwd\n"
        "pathlib.Path('a').touch()\n"
        "print(pathlib.Path('a').owner(), pathlib.Path('a').group(), getpass.getuser(), pathlib.Path.home())\n"
        "print(pwd.getpwuid(os.getuid()).pw_dir, pwd.getpwnam('coderunner').pw_uid == os.getuid(), "
        "grp.getgrgid(os.getgid()).gr_name)\n"
        "del os.environ['HOME'], os.environ['USER'], os.environ['LOGNAME']\n"
        "print(os.path.expanduser('~/x'), os.path.expanduser('~coderunner'), getpass.getuser())"
    )
    assert result.output == (
        "coderunner coderunner coderunner /work\n/work True coderunner\n/work/x /work coderunner\n"
    ), result.error


async def test_others_have_names_as_well_and_nobody_of_the_host_does(executor: Executor) -> None:
    result = await executor.run(
        "import grp, pwd, tarfile\n"
        "open('a', 'w').close()\n"
        "with tarfile.open('t.tar', 'w') as t: t.add('a')\n"
        "print([(m.uname, m.gname) for m in tarfile.open('t.tar')][0])\n"
        "print(sorted(entry.pw_name for entry in pwd.getpwall()), sorted(entry.gr_name for entry in grp.getgrall()))"
    )
    assert result.output == (
        "('coderunner', 'coderunner')\n['coderunner', 'nobody', 'root'] ['coderunner', 'nogroup', 'root']\n"
    ), result.error
