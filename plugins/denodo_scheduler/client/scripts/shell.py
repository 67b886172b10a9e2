"""
A shell, on this machine or on another one over SSH, that runs one script in a private folder and leaves nothing behind.

Both are one and the same ``/bin/sh`` at the other end of a socket, or of an SSH channel, which has the same methods. It
reads what to do from its standard input, so that arguments are in no command but the script's own. The end of that
input, also when this process is killed or the network breaks, ends the script with everything that it has started, and
removes the folder.
"""

from __future__ import annotations

import math
import os
import shlex
import socket
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import files
from time import monotonic
from typing import Any, NoReturn
from uuid import uuid4

from airflow.sdk.exceptions import AirflowException

from denodo_ha.errors import readable
from denodo_scheduler.client.exchange import watch
from denodo_scheduler.client.transport import Call
from denodo_scheduler.exceptions import ConfigurationError, DenodoSchedulerError, NoAnswerError, UnreachableError

_GRACE = 2
"""Seconds from the request to end to SIGKILL."""
REMOVED_WITHIN = 10.0
"""Seconds to wait for the end of the script and for the removal of the folder."""
CHUNK = 256 * 1024
_LONGEST_LINE = 64 * 1024
_REQUESTS_AHEAD = 64
"""Blocks of 32 kB that are asked for ahead when a file comes over SFTP; the memory it takes."""
_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "JAVA_HOME")
_INHERITED_PREFIXES = ("LC_", "DENODO_")

_LACKS = {
    "script": "there is no such script, or this user may not see it. Check denodo_home in the connection's extra",
    "permission": "this user may not execute the script. Give the user the right to, or use another one",
    "timeout": "the machine has no command 'timeout'. Install GNU coreutils there",
}


class Shell:
    """
    The shell and its folder. What goes wrong before the script begins is a ``ConfigurationError`` or an
    ``UnreachableError``: nothing happened. Afterwards it is a ``NoAnswerError``: its effect is unknown.

    :param call: who is asked for what, for the messages.
    :param line: to the shell's input and from its output: a socket, or a channel of paramiko.
    :param open_file: opens a file on the shell's machine.
    :param deadline: by ``time.monotonic``, for everything together.
    :param broken: what ``line`` and files raise when the connection breaks.
    """

    def __init__(
        self,
        call: Call,
        line: socket.socket,
        open_file: Callable[[str, str], Any],
        *,
        deadline: float,
        broken: tuple[type[Exception], ...] = (OSError, EOFError),
    ) -> None:
        self._call = call
        self._line = line
        self._open_file = open_file
        self._deadline = deadline
        self._broken = broken
        self._tag = uuid4().hex
        self._received = b""
        self._begun = False
        program = files(__package__).joinpath("run.sh").read_text(encoding="utf-8")
        self._folder = self._ask(f"tag={self._tag}\n{program}")[1]

    def path(self, name: str) -> str:
        """Where a file of the private folder is on the shell's machine."""
        return f"{self._folder}/{name}"

    def write(self, name: str, chunks: Iterable[bytes]) -> None:
        """Put a file into the private folder."""
        with self._translating():
            file = self._open_file(self.path(name), "wb")
        try:
            for chunk in chunks:
                with self._translating():
                    self._ensure_time_left()
                    file.write(chunk)
        finally:
            with self._translating():
                file.close()

    def read(self, name: str) -> Iterator[bytes]:
        """
        Give a file of the private folder a piece at a time.

        :raises FileNotFoundError: there is none.
        """
        with self._translating(), self._open_file(self.path(name), "rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
                self._ensure_time_left()

    def run(self, command: list[str]) -> int:
        """Run the script, with its console in the file ``console``, and return its exit code."""
        self._ensure_time_left()
        seconds = math.ceil(self._deadline - monotonic()) + _GRACE
        self._begun = True
        ended, what = self._ask(f"run {_GRACE} {seconds} {shlex.join(command)}\n")
        if ended == "exit":
            return int(what)
        self._begun = False
        raise self._call.error(ConfigurationError, _LACKS[what])

    def end(self) -> None:
        """End the script if it still runs, and wait until the folder is gone."""
        until = monotonic() + REMOVED_WITHIN
        with suppress(*self._broken):
            self._line.shutdown(socket.SHUT_WR)
            while self._next_line(until) is not None:
                pass

    def _ask(self, text: str) -> list[str]:
        """Have the shell do something, and return the words of its answer."""
        with self._translating():
            self._line.settimeout(max(self._deadline - monotonic(), 0.01))
            self._line.sendall(text.encode())
            said: deque[str] = deque(maxlen=10)
            while (line := self._next_line(self._deadline)) is not None:
                if line.startswith(self._tag):
                    return line.split(" ", 2)[1:]
                said.append(line)
        why = f": {' '.join(said)[-200:]}" if said and not self._begun else ""
        self._lost(f"the shell has ended{why}")

    def _next_line(self, until: float) -> str | None:
        while b"\n" not in self._received:
            if monotonic() >= until:  # also where something comes all the time
                raise TimeoutError
            self._line.settimeout(max(until - monotonic(), 0.01))
            received = self._line.recv(4096)
            if not received:
                return None
            self._received = (self._received + received)[-_LONGEST_LINE:]
        line, _, self._received = self._received.partition(b"\n")
        return line.decode(errors="replace")

    def _ensure_time_left(self) -> None:
        if monotonic() >= self._deadline:
            self._late()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except TimeoutError:
            self._late()
        except self._broken as error:
            self._lost(readable(error))

    def _late(self) -> NoReturn:
        if not self._begun:
            raise self._call.error(UnreachableError, "the time was over before the script could begin. Try again")
        raise self._call.error(
            NoAnswerError,
            "the script was not done in time and has been ended. Check the server's load, or raise timeout "
            "(transfer_timeout for export and import) in the connection's extra" + self._call.unknown_effect,
        )

    def _lost(self, what: str) -> NoReturn:
        if not self._begun:
            raise self._call.error(UnreachableError, f"{what}. The script was not begun")
        raise self._call.error(NoAnswerError, f"{what}, after the script was begun{self._call.unknown_effect}")


@contextmanager
def local_shell(call: Call, *, deadline: float) -> Iterator[Shell]:
    """A shell on this machine. It inherits no variable of Airflow's: some hold passwords."""
    ours, theirs = socket.socketpair()
    environment = {
        name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }
    with ours, theirs, ExitStack() as stack:
        end = theirs.fileno()
        process = subprocess.Popen(
            ["/bin/sh", "-s"], stdin=end, stdout=end, stderr=end, env=environment, start_new_session=True
        )
        stack.callback(_reap, process)
        theirs.close()
        stack.callback(ours.close)
        shell = Shell(call, ours, open, deadline=deadline)
        stack.callback(shell.end)
        yield shell


def _reap(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(REMOVED_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def ssh_shell(call: Call, hook: Any, *, deadline: float, timeout: tuple[float, float]) -> Iterator[Shell]:
    """
    A shell on the machine of an SSH connection of Airflow. Its hook's own way to run a command would log the command.

    :param hook: what :func:`ssh_hook` gives.
    :param timeout: seconds to connect, and to wait for the answer to a login.
    """
    hook.conn_timeout, hook.banner_timeout, hook.auth_timeout = timeout[0], timeout[1], timeout[1]
    hook.conn_retry_attempts = 1  # a wrong login that is tried thrice may lock the account
    import paramiko  # type: ignore[import-untyped]

    broken = (OSError, EOFError, paramiko.SSHException)
    with ExitStack() as stack:
        try:
            client = stack.enter_context(hook.get_conn())
            if isinstance(line := client.get_transport().sock, socket.socket):  # not through a proxy's command
                watch(line)
            sftp = stack.enter_context(client.open_sftp())
            channel = stack.enter_context(client.get_transport().open_session(timeout=timeout[1]))
            channel.set_combine_stderr(True)
            channel.exec_command("/bin/sh -s")
        except broken as error:
            raise _not_connected(call, hook.ssh_conn_id, error) from None

        def open_file(path: str, mode: str) -> Any:
            sftp.get_channel().settimeout(max(deadline - monotonic(), 0.01))
            file = sftp.open(path, mode, CHUNK)
            if mode == "rb":
                file.prefetch(file.stat().st_size, _REQUESTS_AHEAD)
            else:
                file.set_pipelined(True)
            return file

        shell = Shell(call, channel, open_file, deadline=deadline, broken=broken)
        stack.callback(shell.end)
        yield shell


def ssh_hook(call: Call, ssh_conn_id: str) -> Any:
    """
    Make the hook of Airflow's SSH provider, which is needed for this only.

    :raises ConfigurationError: the provider is not installed, or its connection is not usable.
    """
    try:
        from airflow.providers.ssh.hooks.ssh import SSHHook
    except ImportError:
        raise call.error(
            ConfigurationError,
            "ssh_conn_id needs the package apache-airflow-providers-ssh. Install it in every component of Airflow, or "
            "remove ssh_conn_id from the connection's extra to run the scripts on the worker",
        ) from None
    try:
        return SSHHook(ssh_conn_id=ssh_conn_id)
    except (AirflowException, ValueError) as error:
        raise call.error(
            ConfigurationError, f"the SSH connection {ssh_conn_id!r} is not usable: {readable(error)}. Correct it"
        ) from None


def _not_connected(call: Call, ssh_conn_id: str, error: Exception) -> DenodoSchedulerError:
    import paramiko

    what = f"no SSH session by the connection {ssh_conn_id!r}: {readable(error)}"
    ours = paramiko.AuthenticationException, paramiko.BadHostKeyException, FileNotFoundError, PermissionError
    if isinstance(error, ours) or "known_hosts" in str(error):
        return call.error(ConfigurationError, f"{what}. Correct its login, key and host_key")
    return call.error(UnreachableError, f"{what}. Check that sshd runs there and offers SFTP, and its host and port")
