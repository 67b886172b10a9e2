"""
Export, import and ping by the vendor's scripts ``<DENODO_HOME>/tools/scheduler/{export,import,ping}.sh`` [D].

They talk to the Scheduler server itself over Java RMI, not to the web tool, and need a Java client of Denodo: they run
where that is installed, on the worker or over SSH. Exit code 0 means no errors, 1 means anything else; information
and warnings go to the console, with exit code 0 [D]. The form of the console is unpublished.

The scripts take a password as an argument only, which every user of their machine can see in the process list. So only
encrypted ones are passed (``encrypted:…`` [D]), and plain ones refused.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

from airflow.sdk import ObjectStoragePath

from denodo_scheduler.client.answers import ExportResult, ImportResult
from denodo_scheduler.client.scripts.shell import CHUNK, Shell, local_shell, ssh_hook, ssh_shell, unknown_effect
from denodo_scheduler.client.settings import ENCRYPTED, HOW_TO_ENCRYPT, Settings, is_loopback, same_machine
from denodo_scheduler.client.transport import Call
from denodo_scheduler.exceptions import ConfigurationError, NoAnswerError, RequestError, UnexpectedAnswerError
from denodo_scheduler.state.files import new_file, upload

log = logging.getLogger(__name__)

METADATA_PASSWORD = "metadataPassword"  # noqa: S105 - the name of an option

_EXPORT_FLAGS = {
    "config": "-config",
    "drivers": "-drivers",
    "plugins": "-plugins",
    "permissions": "-permissions",
    "exportDependencies": "-dependencies",
    "exportWithProperties": "-exportWithProperties",
    "exportAsXML": "-xml",
}
_IMPORT_FLAGS = {
    option: f"-{option}" for option in ("replaceJobs", "replaceDataSources", "replacePlugins", "replaceDrivers")
}

_FILE, _CONSOLE = "metadata.zip", "console"
_ZIP = b"PK\x03\x04"
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

    def export(self, server: str, destination: ObjectStoragePath, options: Mapping[str, Any]) -> ExportResult:
        """Run ``export.sh`` and stream what it wrote to ``destination``, which appears whole or not at all."""
        call = self._call("export", server)
        flags = self._flags(call, _EXPORT_FLAGS, options)
        with self._shell(call, server, self.settings.transfer_timeout) as shell:
            self._run(shell, call, server, [*self._login(), *flags, "-f", shell.path(_FILE)])
            try:
                return _save(call, shell.read(_FILE), destination)
            except FileNotFoundError:
                raise call.error(
                    UnexpectedAnswerError,
                    "the script ended with exit code 0 and wrote no file. Look at its server's log",
                ) from None

    def import_(
        self, server: str, source: ObjectStoragePath, options: Mapping[str, Any], timeout: float
    ) -> ImportResult:
        """
        Run ``import.sh`` once. Exit code 1 is no proof that nothing was imported: it is an error without ``status``.

        :param timeout: seconds for everything: connect, send the file, import.
        """
        call = self._call("import", server)
        flags = self._flags(call, _IMPORT_FLAGS, options)
        with upload(source) as file, self._shell(call, server, timeout) as shell:
            shell.write(_FILE, iter(lambda: file.read(CHUNK), b""))
            console = self._run(shell, call, server, [*self._login(), *flags, "-f", shell.path(_FILE)])
        return ImportResult(tuple(line for line in console if _WARNING.search(line)))

    def check_import(self, server: str, options: Mapping[str, Any]) -> None:
        """Find out, without importing, what would make an import fail for certain: options, machine, script, login."""
        self._flags(self._call("import", server), _IMPORT_FLAGS, options)
        self.ping(server)

    def ping(self, server: str) -> None:
        """
        Return if ``ping.sh`` says that the server is alive. An error proves nothing: a wrong login, a firewall and a
        missing Java look like a dead server.
        """
        call = self._call("ping", server)
        wait = ["-t", str(round(1000 * self.settings.timeout[1]))]
        how = ["-a", "vdp" if self.settings.vdpauth else "local"]
        with self._shell(call, server, sum(self.settings.timeout)) as shell:
            self._run(shell, call, server, [*wait, *self._credentials(), *how])

    def _call(self, script: str, server: str) -> Call:
        return Call(self.conn_id, server, script, f"{self.settings.denodo_home}/tools/scheduler/{script}.sh")

    def _named(self, server: str) -> str | None:
        """What the connection says about how the scripts reach the server that is ``server`` for the web tool."""
        return self.settings.script_server if server == self.settings.scheduler_uri else None

    def _credentials(self) -> list[str]:
        assert self.settings.script_password is not None
        return ["-l", self.login, "-P", self.settings.script_password.get_secret_value()]

    def _login(self) -> list[str]:
        return [*self._credentials(), *(["-vdpauth"] if self.settings.vdpauth else [])]

    def _flags(self, call: Call, known: Mapping[str, str], options: Mapping[str, Any]) -> list[str]:
        """
        Turn options, named as over REST, into flags.

        :raises ConfigurationError: naming all that have none.
        """
        flags: list[str] = []
        problems: list[str] = []
        for option, wish in options.items():
            if wish is None:
                continue
            if option == METADATA_PASSWORD:
                problems += self._metadata_password(known, str(wish), flags)
            elif option not in known:
                problems.append(f"{option}: the script has no such flag; it has those for {', '.join(known)}")
            elif not isinstance(wish, bool):
                problems.append(f"{option}: with the scripts it is true, false or null")
            elif wish:
                flags.append(known[option])
        if problems:
            listed = ". ".join(problems)
            raise call.error(ConfigurationError, f"some options cannot be passed on, so nothing was run. {listed}")
        return flags

    def _metadata_password(self, known: Mapping[str, str], password: str, flags: list[str]) -> Iterator[str]:
        """``-mp`` exists for the export only, from 9.1 on [D]."""
        if known is not _EXPORT_FLAGS:
            yield (
                f"{METADATA_PASSWORD}: import.sh takes none. Remove metadata_password from the connection's extra, and "
                "give both installations the same key for exports, or let this connection import over REST"
            )
        elif not password.startswith(ENCRYPTED):
            yield f"{METADATA_PASSWORD}: a plain one would be seen in the process list. {HOW_TO_ENCRYPT}"
        else:
            flags += ["-mp", password]

    @contextmanager
    def _shell(self, call: Call, server: str, seconds: float) -> Iterator[Shell]:
        deadline = monotonic() + seconds
        if self.settings.ssh_conn_id is None:
            self._ensure_meant(call, server, "localhost", "this worker")
            with local_shell(call, deadline=deadline) as shell:
                yield shell
        else:
            ssh = ssh_hook(call, self.settings.ssh_conn_id)
            self._ensure_meant(call, server, ssh.remote_host, ssh.remote_host)
            with ssh_shell(call, ssh, deadline=deadline, timeout=self.settings.timeout) as shell:
                yield shell

    def _ensure_meant(self, call: Call, server: str, host: str, place: str) -> None:
        """Localhost is another server on another machine, and an import into the wrong one wakes its jobs."""
        if is_loopback(server) and self._named(server) is None and not same_machine(host, self.web_tool):
            raise call.error(
                ConfigurationError,
                f"the Scheduler server is {server} for the web tool on {self.web_tool}, the script runs on {place}. "
                "Say in script_server of the connection's extra how the script reaches it",
            )

    def _run(self, shell: Shell, call: Call, server: str, arguments: Iterable[str]) -> list[str]:
        """Run the script and return the lines of its console.

        :raises RequestError: another exit code than 0; it does not tell why.
        :raises NoAnswerError: the script was killed.
        """
        host, _, port = (self._named(server) or server).removeprefix("//").rpartition(":")
        log.info("Running %s", call.path)
        code = shell.run([call.path, "-h", host.strip("[]"), "-p", port, *arguments])
        console = self._lines(shell)
        said = " ".join(console)[-_LONGEST_MESSAGE:]
        if code == 124 or code > 128:
            raise call.error(
                NoAnswerError,
                f"the script was killed, exit code {code}{unknown_effect(call)}",
                server_message=said,
            )
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


def _save(call: Call, chunks: Iterator[bytes], destination: ObjectStoragePath) -> ExportResult:
    digest, size, head = hashlib.sha256(), 0, b""
    with new_file(destination) as file:
        for chunk in chunks:
            head = head or chunk[: len(_ZIP)]
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        if head != _ZIP:
            raise call.error(UnexpectedAnswerError, "the script ended with exit code 0 and wrote no zip file")
    return ExportResult(size=size, sha256=digest.hexdigest())
