"""
Export, import and ping by the vendor's scripts ``<DENODO_HOME>/tools/scheduler/{export,import,ping}.sh`` [D].

They talk to the Scheduler server itself over Java RMI, not to the web tool, and need a Java client of Denodo: they run
where that is installed, on the worker or over SSH. Exit code 0 means no errors, 1 means anything else; information
and warnings go to the console, with exit code 0 [D]. The form of the console is unpublished.

The scripts take a password as an argument only, which every user of their machine can see in the process list. So only
encrypted ones are passed (``encrypted:…`` [D]), and plain ones refused.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from airflow.sdk import ObjectStoragePath

from denodo_ha.server.address import is_loopback, same_machine
from denodo_ha.server.connection import Settings
from denodo_ha.server.flags import script_flags
from denodo_ha.server.options import Direction, OptionsError
from denodo_scheduler.client.exchange import within
from denodo_scheduler.client.scripts.shell import CHUNK, REMOVED_WITHIN, Shell, local_shell, ssh_hook, ssh_shell
from denodo_scheduler.client.transfer import ExportResult, ImportResult, save_zip
from denodo_scheduler.client.transport import Call
from denodo_scheduler.exceptions import (
    ConfigurationError,
    DenodoSchedulerError,
    NoAnswerError,
    RequestError,
    UnexpectedAnswerError,
)
from denodo_scheduler.state.files import on_disk

log = logging.getLogger(__name__)

_FILE, _CONSOLE = "metadata.zip", "console"
_LONGEST_CONSOLE = 1024 * 1024
_LONGEST_MESSAGE = 400
_WARNING = re.compile(r"(?<![\w/])(warn|error)", re.IGNORECASE)


@dataclass(frozen=True)
class Scripts:
    """
    The scripts as one connection wants them.

    :param conn_id: the connection. :param login: its login, the same as over REST.
    :param web_tool: the machine of its web tool.
    """

    conn_id: str
    settings: Settings
    login: str
    web_tool: str

    def export(self, destination: ObjectStoragePath, options: Mapping[str, Any]) -> ExportResult:
        """Run ``export.sh`` and stream what it wrote to ``destination``, which appears whole or not at all."""
        call = self._call("export")
        flags = self._flags(call, "export", options)

        def refusal(_: bytes) -> DenodoSchedulerError:
            return call.error(UnexpectedAnswerError, "the script ended with exit code 0 and wrote no zip file")

        with self._shell(call, self.settings.transfer_timeout) as shell:
            self._run(shell, call, *self._login(), *flags, "-f", shell.path(_FILE))
            try:
                return save_zip(self._limited(call, shell.read(_FILE)), destination, refusal)
            except FileNotFoundError:
                raise call.error(
                    UnexpectedAnswerError,
                    "the script ended with exit code 0 and wrote no file. Look at its server's log",
                ) from None

    def _limited(self, call: Call, chunks: Iterator[bytes]) -> Iterator[bytes]:
        limit, size = self.settings.transfer_limit, 0
        for chunk in chunks:
            size += len(chunk)
            if size > limit:
                what = f"the export is larger than {limit} bytes. Raise transfer_limit in the connection's extra"
                raise call.error(UnexpectedAnswerError, f"{what} where it is meant to be")
            yield chunk

    def import_(
        self, source: ObjectStoragePath, options: Mapping[str, Any], timeout: float, permit: Callable[[float], None]
    ) -> ImportResult:
        """
        Run ``import.sh`` once. Exit code 1 is no proof that nothing was imported: it is an error without ``status``.

        :param timeout: seconds for everything: connect, send the file, import.
        :param permit: called right before the script is run, with ``timeout``; raises where it must not be.
        """
        call = self._call("import")
        flags = self._flags(call, "import", options)
        with on_disk(source) as file, self._shell(call, timeout) as shell:
            shell.write(_FILE, iter(lambda: file.read(CHUNK), b""))
            permit(timeout)
            console = self._run(shell, call, *self._login(), *flags, "-f", shell.path(_FILE))
        return ImportResult.that_warned([line for line in console if _WARNING.search(line)])

    def check_import(self, options: Mapping[str, Any]) -> None:
        """Find out, without importing, what would make an import fail for certain: options, machine, script, login."""
        self._flags(self._call("import"), "import", options)
        self.ping()

    def ping(self) -> None:
        """
        Return if ``ping.sh`` says that the server is alive. An error proves nothing: a wrong login, a firewall and a
        missing Java look like a dead server.
        """
        call = self._call("ping")
        wait = str(round(1000 * self.settings.timeout[1]))
        how = "vdp" if self.settings.vdpauth else "local"
        with self._shell(call, sum(self.settings.timeout)) as shell:
            self._run(shell, call, "-t", wait, *self._credentials(), "-a", how)

    def _call(self, script: str) -> Call:
        path = f"{self.settings.denodo_home}/tools/scheduler/{script}.sh"
        return Call(self.conn_id, self.settings.scheduler_uri, script, path)

    def _credentials(self) -> list[str]:
        assert self.settings.script_password is not None
        return ["-l", self.login, "-P", self.settings.script_password.get_secret_value()]

    def _login(self) -> list[str]:
        return [*self._credentials(), *(["-vdpauth"] if self.settings.vdpauth else [])]

    def _flags(self, call: Call, script: Direction, options: Mapping[str, Any]) -> list[str]:
        try:
            return script_flags(script, options)
        except OptionsError as error:
            raise call.error(ConfigurationError, str(error)) from None

    @contextmanager
    def _shell(self, call: Call, seconds: float) -> Iterator[Shell]:
        deadline = monotonic() + seconds
        if self.settings.ssh_conn_id is None:
            self._ensure_meant(call, "localhost", "this worker")
            with local_shell(call, deadline=deadline) as shell:
                yield shell
        else:
            ssh = ssh_hook(call, self.settings.ssh_conn_id)
            self._ensure_meant(call, ssh.remote_host, ssh.remote_host)
            with (
                within(seconds + REMOVED_WITHIN),  # whatever the machine does that the shell does not notice
                ssh_shell(call, ssh, deadline=deadline, timeout=self.settings.timeout) as shell,
            ):
                yield shell

    def _ensure_meant(self, call: Call, host: str, place: str) -> None:
        """Localhost is another server on another machine, and an import into the wrong one wakes its jobs."""
        if is_loopback(call.server) and not self.settings.script_server and not same_machine(host, self.web_tool):
            raise call.error(
                ConfigurationError,
                f"the Scheduler server is {call.server} for the web tool on {self.web_tool}, the script runs on "
                f"{place}. Say in script_server of the connection's extra how the script reaches it",
            )

    def _run(self, shell: Shell, call: Call, *arguments: str) -> list[str]:
        """Run the script and return the lines of its console.

        :raises RequestError: another exit code than 0; it does not tell why.
        :raises NoAnswerError: the script was killed.
        """
        host, _, port = (self.settings.script_server or call.server).removeprefix("//").rpartition(":")
        log.info("Running %s", call.path)
        code = shell.run([call.path, "-h", host.strip("[]"), "-p", port, *arguments])
        console = self._lines(shell)
        said = " ".join(console)[-_LONGEST_MESSAGE:]
        if code == 124 or code > 128:
            what = f"the script was killed, exit code {code}{call.unknown_effect}"
            raise call.error(NoAnswerError, what, server_message=said)
        if code:
            raise call.error(
                RequestError,
                f"the script failed with exit code {code}, which does not tell why. Check that the server runs, login "
                "and script_password, and that Java is found on that machine",
                server_message=said,
            )
        for line in console:
            log.info("It says: %s", line)
        return console

    def _lines(self, shell: Shell) -> list[str]:
        content = b""
        with suppress(FileNotFoundError):  # that machine's disk is full
            for chunk in shell.read(_CONSOLE):
                content += chunk
                if len(content) > _LONGEST_CONSOLE:
                    break
        text = content[:_LONGEST_CONSOLE].decode(errors="replace")
        for secret in sorted(self.settings.secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return [line.strip() for line in text.splitlines() if line.strip()]
