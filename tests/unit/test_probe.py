"""What each answer of a web tool proves, judged over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from denodo_demo.slowness import allow
from denodo_demo.standin import StandinPair
from denodo_ha.verdict import Answer, Observation, Verdict
from denodo_scheduler.client.logins import Logins
from denodo_scheduler.client.probe import Endpoint, Looker, Observer, over_second_path
from denodo_scheduler.exceptions import ConfigurationError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from support.timeouts import ANSWERED, SILENT

ME = {"serverData": {"version": {"full": "9.1.0"}}}
LOGIN_PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
TEXT_HTML = {"Content-Type": "text/html;charset=UTF-8"}
PATH = "/webadmin/denodo-scheduler-admin"
PASSWORD = "s3cret-pässword-€"
TOKEN = base64.b64encode(f"öperator:{PASSWORD}".encode()).decode()

Connect = Callable[..., DenodoSchedulerHook]


def endpoint(port: int, **fields: Any) -> Endpoint:
    return Endpoint(
        **{
            "conn_id": "web",
            "url": f"http://127.0.0.1:{port}{PATH}",
            "server": "//localhost:8000",
            "timeout": ANSWERED,
            "auth": httpx.BasicAuth("öperator", PASSWORD),
        }
        | fields
    )


def observed(*rounds_of: Observer, rounds: int = 1) -> list[Observation]:
    """What so many rounds say."""

    async def observe() -> list[Observation]:
        (observer,) = rounds_of
        async with aclosing(observer):
            return [await observer.observe() for _ in range(rounds)]

    return asyncio.run(asyncio.wait_for(observe(), allow(180)))


def asked(master: Endpoint) -> tuple[Answer, str]:
    """What path 1 says, and why."""
    (observation,) = observed(Observer(master=master))
    assert (observation.second, observation.slave) == (Answer.NOT_ASKED, Answer.NOT_ASKED)
    detail = observation.details.get("master", "")
    assert "\n" not in detail
    assert PASSWORD not in detail
    return observation.master, detail


@pytest.fixture
def alive(webtool: Any) -> Any:
    webtool.on("GET", "/me", ME)
    webtool.on("GET", "/projects", [])
    return webtool


class TestAnswers:
    def test_up_takes_a_read_of_the_user_and_of_the_projects(self, alive: Any) -> None:
        assert asked(endpoint(alive.port)) == (Answer.UP, "")
        assert [(request.path, request.query) for request in alive.requests] == [
            ("/public/api/me", {"uri": "//localhost:8000"}),
            ("/public/api/projects", {"uri": "//localhost:8000"}),
        ]

    @pytest.mark.parametrize("path", ["/me", "/projects"])
    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (302, Answer.MISCONFIGURED),
            (400, Answer.MISCONFIGURED),
            (401, Answer.MISCONFIGURED),
            (403, Answer.MISCONFIGURED),
            (404, Answer.MISCONFIGURED),
            (407, Answer.MISCONFIGURED),
            (429, Answer.MISCONFIGURED),
            (500, Answer.FAILED),
            (502, Answer.FAILED),
            (503, Answer.FAILED),
            (504, Answer.FAILED),
            (599, Answer.FAILED),
        ],
    )
    def test_error_statuses(self, alive: Any, answer: Any, path: str, status: int, expected: Answer) -> None:
        alive.on("GET", path, answer({"message": "no"}, status, {"Location": "/elsewhere"}))
        found, detail = asked(endpoint(alive.port))
        assert found is expected
        assert detail.startswith(f"{status} to GET {path}")
        assert "connection 'web', server //localhost:8000" in detail
        assert len(alive.asked("GET", path)) == 1, "an error answer is not asked for again"

    @pytest.mark.parametrize("path", ["/me", "/projects"])
    @pytest.mark.parametrize(
        ("body", "headers", "expected"),
        [
            (LOGIN_PAGE, TEXT_HTML, Answer.MISCONFIGURED),
            (LOGIN_PAGE, {}, Answer.MISCONFIGURED),
            (b"Please log in", TEXT_HTML, Answer.MISCONFIGURED),
            ({"hello": "world"}, {}, Answer.MISCONFIGURED),
            ({"serverData": {"version": "9.1.0"}}, {}, Answer.MISCONFIGURED),
            ("up", {}, Answer.MISCONFIGURED),
            (b"", {}, Answer.FAILED),
            (b'{"serverData": {"ver', {}, Answer.FAILED),
            (b"\xff\xfe\x00", {}, Answer.FAILED),
            (b"not gzip", {"Content-Encoding": "gzip"}, Answer.FAILED),
        ],
    )
    def test_a_body_that_proves_nothing(
        self, alive: Any, answer: Any, path: str, body: Any, headers: dict[str, str], expected: Answer
    ) -> None:
        alive.on("GET", path, answer(body, headers=headers))
        assert asked(endpoint(alive.port))[0] is expected

    def test_the_two_answers_are_not_interchangeable(self, alive: Any) -> None:
        alive.on("GET", "/me", [])
        assert asked(endpoint(alive.port))[0] is Answer.MISCONFIGURED
        alive.on("GET", "/me", ME)
        alive.on("GET", "/projects", ME)
        assert asked(endpoint(alive.port))[0] is Answer.MISCONFIGURED

    @pytest.mark.parametrize("path", ["/me", "/projects"])
    @pytest.mark.parametrize(
        ("fault", "expected"),
        [("cut", Answer.NO_ANSWER), ("hang", Answer.NO_ANSWER), ("truncate", Answer.FAILED)],
    )
    def test_a_connection_that_breaks(self, alive: Any, answer: Any, path: str, fault: Any, expected: Answer) -> None:
        alive.on("GET", path, answer(ME, fault=fault))
        timeout = SILENT if fault == "hang" else ANSWERED
        assert asked(endpoint(alive.port, timeout=timeout))[0] is expected

    def test_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        assert asked(endpoint(port)) == (
            Answer.NO_ANSWER,
            "Connection refused (connection 'web', server //localhost:8000)",
        )

    def test_an_unknown_host(self) -> None:
        found, detail = asked(endpoint(80, url="http://no-such-host.invalid"))
        assert found is Answer.MISCONFIGURED
        assert "the name no-such-host.invalid does not resolve, and no address of it is known" in detail

    def test_somebody_who_does_not_speak_http(self) -> None:
        def banner(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

        with talking(banner) as port:
            found, detail = asked(endpoint(port))
        assert found is Answer.MISCONFIGURED
        assert detail.startswith("the answer is not HTTP")

    def test_a_connection_kept_alive_that_was_closed_meanwhile_is_no_failure(self) -> None:
        """The web tool closes it at the moment the next request comes in."""

        def once(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(http(ME))
            connection.recv(65536)

        def rest(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(http([]))

        with talking(once, rest) as port:
            assert asked(endpoint(port)) == (Answer.UP, "")


class TestDeadlines:
    def test_half_open_after_the_headers(self) -> None:
        with talking(lambda connection: connection.sendall(http(ME)[:-5]), silent_afterwards=True) as port:
            found, detail = asked(endpoint(port, timeout=SILENT))
        assert found is Answer.NO_ANSWER
        assert "in time" in detail

    def test_a_byte_at_a_time_ends_at_the_deadline(self) -> None:
        """Each byte comes well within the read timeout, so only a deadline over the whole path ends this."""

        def drip(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not gone.wait(0.05):
                connection.sendall(b"x")

        gone = threading.Event()
        with talking(drip) as port:
            found, detail = asked(endpoint(port, timeout=(allow(0.3), allow(0.3))))
            gone.set()
        assert found is Answer.NO_ANSWER
        assert "no whole answer within" in detail

    def test_slow_within_the_deadline_is_up_and_beyond_it_is_not(self) -> None:
        def slow(connection: socket.socket) -> None:
            connection.recv(65536)
            gone.wait(0.5)
            connection.sendall(http(ME))
            connection.recv(65536)
            connection.sendall(http([]))

        def slower(connection: socket.socket) -> None:
            connection.recv(65536)
            gone.wait()

        gone = threading.Event()
        with talking(slow) as port:
            assert asked(endpoint(port))[0] is Answer.UP
        with talking(slower) as port:
            assert asked(endpoint(port, timeout=SILENT))[0] is Answer.NO_ANSWER
            gone.set()

    def test_paths_are_asked_side_by_side(self, alive: Any, answer: Any) -> None:
        """Both hang until the other has been asked, so one after the other would end at the deadline."""
        both, number = threading.Barrier(2, timeout=allow(30)), count()

        def meet(connection: socket.socket) -> None:
            connection.recv(65536)
            if next(number) < 2:
                both.wait()
            connection.sendall(http(ME))
            connection.recv(65536)
            connection.sendall(http([]))

        alive.on("GET", "/me", answer(status=500))
        with talking(meet, meet) as port:
            slave = endpoint(port)
            (seen,) = observed(
                Observer(master=endpoint(alive.port), slave=slave, second=replace(slave, server="//m:8000"))
            )
        assert (seen.second, seen.slave) == (Answer.UP, Answer.UP)


class TestRounds:
    def test_the_slave_s_tool_is_asked_only_while_path_1_proves_nothing(self, alive: Any, answer: Any) -> None:
        slave = replace(endpoint(alive.port), conn_id="slave", server="//s:8000")
        servers = {"//localhost:8000": "1", "//m:8000": "2", "//s:8000": "3"}
        observer = Observer(master=endpoint(alive.port), slave=slave, second=replace(slave, server="//m:8000"))
        alive.on("GET", "/me", answer(ME), answer(status=500), answer(ME))
        up, doubtful, again = observed(observer, rounds=3)
        assert up.verdict is again.verdict is Verdict.UP
        assert (up.second, up.slave) == (Answer.NOT_ASKED, Answer.NOT_ASKED)
        assert doubtful.verdict is Verdict.CONTROL_PATH_BROKEN
        assert doubtful.seconds.keys() == {"master", "second", "slave"}
        assert doubtful.details.keys() == {"master"}
        proof = [servers[request.query["uri"]] for request in alive.requests if request.path.endswith("/me")]
        assert proof[:2] == ["1", "1"]
        assert set(proof[2:]) == {"1", "2", "3"}

    @pytest.mark.parametrize(("slave", "second"), [(False, None), (True, None)])
    def test_without_a_second_path(self, alive: Any, answer: Any, slave: bool, second: None) -> None:
        alive.on("GET", "/me", answer(status=500), answer(ME))
        other = endpoint(alive.port) if slave else None
        (seen,) = observed(Observer(master=endpoint(alive.port), slave=other, second=second))
        assert (seen.master, seen.second) == (Answer.FAILED, Answer.NOT_ASKED)
        assert seen.slave is (Answer.UP if slave else Answer.NOT_ASKED)
        assert seen.verdict is Verdict.UNKNOWN

    def test_the_connection_is_kept_alive(self, alive: Any) -> None:
        observed(Observer(master=endpoint(alive.port)), rounds=5)
        assert len(alive.requests) == 10
        assert len({request.client for request in alive.requests}) == 1

    def test_once_path_1_answers_nobody_waits_for_the_others(self, alive: Any, answer: Any) -> None:
        """In the last round all are asked at once, and the slave's web tool hangs. It was tried once to be known."""
        alive.on("GET", "/me", answer(status=500), answer(ME), answer(status=500), answer(ME))
        with talking(lambda connection: None, silent_afterwards=True) as port:
            slave = endpoint(port, timeout=SILENT)
            second_path = replace(slave, server="//10.0.0.1:8000")
            observer = Observer(master=endpoint(alive.port), slave=slave, second=second_path)
            first, _, _, last = observed(observer, rounds=4)
        assert first.slave is first.second is Answer.NO_ANSWER
        assert last.master is Answer.UP
        assert last.slave is last.second is Answer.NOT_ASKED


class TestLikeTheHook:
    def test_login_and_password_travel_as_utf_8(self, alive: Any, connect: Connect) -> None:
        assert asked(Endpoint.of(connect(port=alive.port)))[0] is Answer.UP
        assert {request.headers["authorization"] for request in alive.requests} == {f"Basic {TOKEN}"}

    def test_without_login_a_netrc_file_is_not_used(
        self, alive: Any, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".netrc").write_text("machine 127.0.0.1 login thief password thief\n")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        assert asked(Endpoint.of(connect(port=alive.port, login=None)))[0] is Answer.UP
        assert not [request for request in alive.requests if "authorization" in request.headers]

    def test_no_key_of_the_extra_becomes_a_header(self, alive: Any, connect: Connect) -> None:
        asked(Endpoint.of(connect({"X-Custom": "leak", "scheduler_uri": "//h:8000"}, port=alive.port)))
        assert "leak" not in str(alive.requests)
        assert {request.query["uri"] for request in alive.requests} == {"//h:8000"}

    def test_the_timeouts_are_those_of_the_connection(self, connect: Connect) -> None:
        assert Endpoint.of(connect({"timeout": [2, 7]}, port=1)).timeout == (2.0, 7.0)

    def test_the_proxy_of_the_environment_is_used(
        self, alive: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.setenv("NO_PROXY", "direct.example.org")
        monkeypatch.setenv("http_proxy", f"http://user:pr0xy-secret@127.0.0.1:{alive.port}")
        proxied = Endpoint.of(connect(host="elsewhere.example.org", port=80))
        assert "pr0xy-secret" not in repr(proxied)
        assert asked(proxied)[0] is Answer.UP
        assert {request.headers["host"] for request in alive.requests} == {"elsewhere.example.org"}
        assert "proxy-authorization" in alive.requests[0].headers
        assert Endpoint.of(connect(host="direct.example.org", port=80)).proxy is None

    def test_the_ca_bundle_of_the_environment_is_used_unless_the_connection_names_one(
        self, connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = certificate(tmp_path / "own.pem")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/bundle.pem")
        assert Endpoint.of(connect({}, schema="https")).verify == "/etc/bundle.pem"
        assert Endpoint.of(connect({"verify": str(own)}, schema="https")).verify == str(own)
        assert Endpoint.of(connect({"verify": False}, schema="https")).verify is False

    def test_an_address_that_cannot_work_is_refused(self, connect: Connect) -> None:
        with pytest.raises(ConfigurationError, match="schema must be http or https"):
            Endpoint.of(connect(schema="ftp"))

    def test_a_file_that_holds_no_certificates_is_refused(self, connect: Connect, tmp_path: Path) -> None:
        (tmp_path / "ca.pem").write_text("nothing")
        with pytest.raises(ConfigurationError, match="Connection 'web': no request can be sent"):
            Observer.of(connect({"verify": str(tmp_path / "ca.pem")}, schema="https"))

    def test_credentials_are_in_no_repr_detail_or_log(
        self, alive: Any, connect: Connect, answer: Any, capfd: pytest.CaptureFixture[str]
    ) -> None:
        alive.on("GET", "/me", answer({"message": "no"}, 401))
        made = Endpoint.of(connect(port=alive.port))
        observer = Observer(master=made)
        (seen,) = observed(observer)
        text = "".join([repr(made), repr(observer), repr(vars(observer)), repr(seen), str(seen), *capfd.readouterr()])
        assert "login refused" in text
        for secret in (PASSWORD, "s3cret", TOKEN, "Authorization"):
            assert secret not in text


class TestRefusedLogins:
    @pytest.mark.parametrize("status", [401, 403])
    def test_three_in_a_row_are_followed_by_a_pause(self, alive: Any, answer: Any, status: int) -> None:
        alive.on("GET", "/me", answer({"message": "no"}, status))
        rounds = observed(Observer(master=endpoint(alive.port)), rounds=6)
        assert {each.master for each in rounds} == {Answer.MISCONFIGURED}
        assert "was refused 3 times in a row" in rounds[-1].details["master"]
        assert len(alive.requests) == 3

    def test_one_that_is_accepted_in_between_ends_the_row(self, alive: Any, answer: Any) -> None:
        refused = answer({"message": "no"}, 401)
        alive.on("GET", "/me", refused, refused, ME, refused, refused, ME)
        answers = [each.master for each in observed(Observer(master=endpoint(alive.port)), rounds=6)]
        assert answers == [Answer.MISCONFIGURED, Answer.MISCONFIGURED, Answer.UP] * 2

    def test_another_login_of_the_connection_is_sent_at_once(self, alive: Any, answer: Any) -> None:
        alive.on("GET", "/me", answer({"message": "no"}, 401))
        logins = Logins()
        observed(Observer(master=endpoint(alive.port), logins=logins), rounds=4)
        assert len(alive.requests) == 3
        for changed in ({"auth": httpx.BasicAuth("öperator", "another")}, {"conn_id": "other"}):
            before = len(alive.requests)
            observed(Observer(master=endpoint(alive.port, **changed), logins=logins))
            assert len(alive.requests) == before + 1

    def test_after_the_pause_silence_counts_in_each_round(
        self, alive: Any, answer: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that dies while its login is refused must not be taken for one that answers."""
        alive.on("GET", "/me", answer({"message": "no"}, 401))
        logins = Logins()
        observed(Observer(master=endpoint(alive.port), logins=logins), rounds=3)
        monkeypatch.setattr("denodo_scheduler.client.logins.PAUSE", 0.0)
        with closing(socket.socket()) as unused:
            unused.bind(("127.0.0.1", 0))
            dead = endpoint(unused.getsockname()[1], url=f"http://127.0.0.1:{unused.getsockname()[1]}{PATH}")
            rounds = observed(Observer(master=dead, logins=logins), rounds=4)
        assert [each.master for each in rounds] == [Answer.NO_ANSWER] * 4


class TestSecondUri:
    @pytest.mark.parametrize(
        ("second_path", "master", "slave", "expected"),
        [
            ("none", ("m", "//localhost:8000"), ("s", "//localhost:8000"), None),
            ("auto", ("m", "//localhost:8000"), ("s", "//localhost:8000"), "//m:8000"),
            ("auto", ("m", "//127.0.0.1:8000"), ("s", "//[::1]:8000"), "//m:8000"),
            ("auto", ("fd00::1", "//[::1]:8000"), ("s", "//localhost:8000"), "//[fd00::1]:8000"),
            ("auto", ("m", "//inner:8000"), ("s", "//localhost:8000"), "//inner:8000"),
            ("auto", ("127.0.0.1", "//127.0.0.1:8000"), ("127.0.0.1", "//127.0.0.1:8001"), "//127.0.0.1:8000"),
            ("auto", ("localhost", "//localhost:8000"), ("127.0.0.1", "//127.0.0.1:8000"), None),
            ("auto", ("localhost", "//localhost:8000"), ("s", "//localhost:8001"), None),
            ("auto", ("m", "//shared:8000"), ("s", "//SHARED:8000"), None),
            ("auto", ("s", "//localhost:8000"), ("s", "//localhost:8000"), None),
            ("//other:8000", ("m", "//localhost:8000"), ("s", "//localhost:8000"), "//other:8000"),
            ("//localhost:8001", ("m", "//localhost:8000"), ("s", "//localhost:8000"), "//localhost:8001"),
            ("//s:8000", ("m", "//localhost:8000"), ("s", "//localhost:8000"), None),
        ],
    )
    def test_how_the_slave_s_tool_reaches_the_master(
        self,
        connect: Connect,
        caplog: pytest.LogCaptureFixture,
        second_path: str,
        master: tuple[str, str],
        slave: tuple[str, str],
        expected: str | None,
    ) -> None:
        hooks = []
        for host, uri in (master, slave):
            hook = connect({"scheduler_uri": uri}, host=f"[{host}]" if ":" in host else host, port=9090)
            assert hook.server == uri
            hooks.append(hook)
        hook = over_second_path(second_path, *hooks)
        assert (hook and hook.server) == expected
        assert ("Set second_path of the pair" in caplog.text) == (expected is None and second_path != "none")

    def test_another_form_is_refused(self, connect: Connect) -> None:
        with pytest.raises(ConfigurationError, match="not of the form //host:port"):
            Observer.of(connect(port=1), connect(port=2), second_path="m:8000")


def certificate(path: Path, *, days: int = 1) -> Path:
    """A PEM file with a certificate of ``localhost``, signed by itself, that ends in so many days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(signed.public_bytes(encoding) + secret)
    return path


class TestTls:
    @pytest.fixture
    def good(self, tmp_path: Path) -> Path:
        return certificate(tmp_path / "good.pem")

    def serve(self, webtool: Any, pem: Path, clients: Path | None = None) -> Callable[..., Endpoint]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        if clients:
            context.load_verify_locations(clients)
            context.verify_mode = ssl.CERT_REQUIRED
            # In TLS 1.3 a client learns of the refusal only after it has sent its request.
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        webtool.socket = context.wrap_socket(webtool.socket, server_side=True)

        def make(**fields: Any) -> Endpoint:
            url = f"https://localhost:{webtool.port}{PATH}"
            return endpoint(webtool.port, **{"url": url} | fields)

        return make

    def test_a_private_ca_is_trusted_when_named(self, alive: Any, good: Path) -> None:
        assert asked(self.serve(alive, good)(verify=str(good)))[0] is Answer.UP

    def test_an_unknown_certificate(self, alive: Any, good: Path) -> None:
        found, detail = asked(self.serve(alive, good)())
        assert found is Answer.MISCONFIGURED
        assert "certificate verify failed" in detail.lower().replace("_", " ")
        assert alive.requests == []

    def test_an_expired_certificate(self, alive: Any, tmp_path: Path) -> None:
        expired = certificate(tmp_path / "expired.pem", days=-1)
        found, detail = asked(self.serve(alive, expired)(verify=str(expired)))
        assert found is Answer.MISCONFIGURED
        assert "expired" in detail

    def test_a_certificate_of_another_host(self, alive: Any, good: Path) -> None:
        make = self.serve(alive, good)
        found, _ = asked(make(url=f"https://127.0.0.1:{alive.port}{PATH}", verify=str(good)))
        assert found is Answer.MISCONFIGURED

    def test_unverified(self, alive: Any, good: Path) -> None:
        assert asked(self.serve(alive, good)(verify=False))[0] is Answer.UP

    def test_client_certificates(self, alive: Any, good: Path) -> None:
        make = self.serve(alive, good, clients=good)
        assert asked(make(verify=str(good), cert=str(good)))[0] is Answer.UP
        assert asked(make(verify=str(good), cert=(str(good), str(good))))[0] is Answer.UP
        assert asked(make(verify=str(good)))[0] is Answer.MISCONFIGURED

    def test_a_renewed_ca_file_is_read_again(self, alive: Any, good: Path, tmp_path: Path) -> None:
        make = self.serve(alive, good)
        ca = certificate(tmp_path / "ca.pem")
        assert asked(make(verify=str(ca)))[0] is Answer.MISCONFIGURED
        ca.write_bytes(good.read_bytes())
        assert asked(make(verify=str(ca)))[0] is Answer.UP

    def test_https_to_a_port_that_speaks_http(self, alive: Any) -> None:
        url = f"https://localhost:{alive.port}{PATH}"
        assert asked(endpoint(alive.port, url=url))[0] is Answer.MISCONFIGURED

    def test_a_cut_during_the_handshake_is_silence(self) -> None:
        with talking(lambda connection: connection.recv(65536)) as port:
            assert asked(endpoint(port, url=f"https://localhost:{port}{PATH}", verify=False))[0] is Answer.NO_ANSWER


class TestLooker:
    def test_looks_at_a_pair(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with StandinPair(tmp_path) as pair:
            for name, value in pair.connections_env().items():
                monkeypatch.setenv(name, value)
            hooks = [DenodoSchedulerHook(f"denodo_scheduler_{server.name}") for server in pair.servers]
            with Looker(*hooks) as looker:
                assert [looker.look().verdict for _ in range(3)] == [Verdict.UP] * 3
                assert not any(each.endswith("/me") for each in pair.slave.webtool.requests())
                pair.master.webtool.kill()
                assert looker.look().verdict is Verdict.CONTROL_PATH_BROKEN
                pair.master.webtool.start()
                assert looker.look().verdict is Verdict.UP
                pair.master.scheduler.kill()
                assert looker.look().verdict is Verdict.DOWN
                pair.slave.webtool.kill()
                assert looker.look().verdict is Verdict.UNKNOWN
                pair.master.webtool.kill()
                assert looker.look().verdict is Verdict.ISOLATED
                pair.heal()
                assert looker.look().verdict is Verdict.UP


def http(body: Any) -> bytes:
    content = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(content),
        content,
    )


@contextmanager
def talking(*scripts: Callable[[socket.socket], object], silent_afterwards: bool = False) -> Iterator[int]:
    """A port where each connection gets the next script, the last one again and again, each in a thread of its own.

    Afterwards the connection is closed, or held open until the end of the block.
    """
    over = threading.Event()
    left = list(scripts)

    def serve(connection: socket.socket, script: Callable[[socket.socket], object]) -> None:
        with closing(connection), suppress(ConnectionError):
            script(connection)
            if silent_afterwards:
                over.wait()

    def accept() -> None:
        while not over.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            script = left.pop(0) if len(left) > 1 else left[0]
            threading.Thread(target=serve, args=(connection, script), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


class TestProxies:
    """What a proxy says of itself is nothing about the server behind it."""

    @pytest.mark.parametrize(
        ("status", "expected"),
        [(407, Answer.MISCONFIGURED), (403, Answer.MISCONFIGURED), (502, Answer.FAILED), (504, Answer.FAILED)],
    )
    def test_a_proxy_that_refuses_to_connect(self, status: int, expected: Answer) -> None:
        refusal = b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status

        def proxy(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(refusal)

        with talking(proxy) as port:
            made = endpoint(1, url=f"https://m.example{PATH}", proxy=f"http://127.0.0.1:{port}", verify=False)
            found, detail = asked(made)
        assert found is expected
        assert "the HTTP proxy says" in detail

    def test_a_proxy_that_cannot_be_reached(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        found, detail = asked(endpoint(1, url=f"http://m.example{PATH}", proxy=f"http://127.0.0.1:{port}"))
        assert found is Answer.MISCONFIGURED
        assert "the HTTP proxy cannot be reached" in detail


class TestNames:
    def test_tls_is_checked_against_the_name_also_at_its_last_address(
        self, alive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pem = certificate(tmp_path / "good.pem")
        make = TestTls().serve(alive, pem)
        known = {"master.example": "127.0.0.1", "localhost": "127.0.0.1"}
        monkeypatch.setattr("denodo_scheduler.client.probe.is_name", lambda host: host in known)
        resolve = socket.getaddrinfo

        def unknown(host: Any, *arguments: Any, **more: Any) -> Any:
            if (host.decode() if isinstance(host, bytes) else host) in known:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            return resolve(host, *arguments, **more)

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        of_the_certificate = make(verify=str(pem))
        of_another = make(url=f"https://master.example:{alive.port}{PATH}", verify=str(pem))
        for named, expected in ((of_the_certificate, Answer.UP), (of_another, Answer.MISCONFIGURED)):
            (seen,) = observed(Observer(master=named, addresses=known))
            assert seen.master is expected, seen
        assert {request.headers["host"] for request in alive.requests} == {f"localhost:{alive.port}"}

    def test_a_name_that_leads_to_a_silent_address_is_no_vote_while_the_last_one_answers(
        self, alive: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A slip in a zone file: the master is alive where it was."""
        resolve, leads = socket.getaddrinfo, "127.0.0.9"

        def moved(host: Any, *arguments: Any, **more: Any) -> Any:
            named = (host.decode() if isinstance(host, bytes) else host) == "master.example"
            return resolve(leads if named else host, *arguments, **more)

        monkeypatch.setattr(socket, "getaddrinfo", moved)
        named = endpoint(alive.port, url=f"http://master.example:{alive.port}{PATH}")
        (seen,) = observed(Observer(master=named, addresses={"master.example": "127.0.0.1"}))
        assert (seen.master, seen.verdict) == (Answer.MISCONFIGURED, Verdict.MISCONFIGURED)
        assert "leads to another address than before, and at its last one the server answers" in str(seen)
        (seen,) = observed(Observer(master=named, addresses={"master.example": "127.0.0.8"}))
        assert seen.master is Answer.NO_ANSWER
