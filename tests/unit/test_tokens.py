"""Bearer tokens, for hook and probe alike, over real sockets: got, renewed, refused, missed, and never seen."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import aclosing
from html import escape
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
import requests
from airflow.sdk import ObjectStoragePath

from denodo_demo.slowness import allow
from denodo_demo.standin import StandinPair
from denodo_ha.server.connection import parse_extra
from denodo_ha.server.tokens import ClientCredentials, Token, read_token, usable
from denodo_ha.verdict import Answer, Observation, Verdict
from denodo_scheduler.client import exchange, logins, probe, tokens
from denodo_scheduler.client.probe import Endpoint, Observer
from denodo_scheduler.client.transport import Call
from denodo_scheduler.exceptions import (
    ConfigurationError,
    DenodoSchedulerError,
    NoTokenError,
    TokenRefusedError,
    WrongConnectionError,
)
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from denodo_scheduler.steps.sync import guard
from support.authorisation import Authorisation, Said, authorisation
from support.certificates import certificate
from support.hostile_archives import export
from support.process_list import command_lines

CLIENT, SECRET = "denodo ha:client", "s3cret/of+the client&€"
ME = {"serverData": {"version": {"full": "9.1.0"}}}
WAIT = [60, 60]
PATH = "/webadmin/denodo-scheduler-admin"

Connect = Callable[..., DenodoSchedulerHook]


@pytest.fixture(autouse=True)
def _no_tokens() -> Iterator[None]:
    tokens.forget_tokens()
    yield
    tokens.forget_tokens()


@pytest.fixture
def issuer() -> Iterator[Authorisation]:
    with authorisation(CLIENT, SECRET) as server:
        yield server


@pytest.fixture
def tool(webtool: Any, answer: Any, issuer: Authorisation) -> Any:
    """A web tool that answers only to living tokens."""
    take = webtool.take

    def guarded(request: Any) -> Any:
        said = take(request)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        return said if token in issuer.live else answer({"message": "Unauthorized"}, 401)

    webtool.take = guarded
    webtool.on("GET", "/me", ME)
    webtool.on("GET", "/projects", [])
    return webtool


@pytest.fixture
def client(connect: Connect, tool: Any, issuer: Authorisation) -> Connect:
    """Makes hooks for the web tool."""

    def make(*, timeout: Any = WAIT, password: str = SECRET, **auth: Any) -> DenodoSchedulerHook:
        grant = {"type": "client_credentials", "token_url": issuer.url, **auth}
        extra = {"timeout": timeout, "auth": grant}
        return connect(extra, port=tool.port, login=CLIENT, password=password)

    return make


def observed(observer: Observer, rounds: int = 1) -> list[Observation]:
    async def observe() -> list[Observation]:
        async with aclosing(observer):
            return [await observer.observe() for _ in range(rounds)]

    return asyncio.run(asyncio.wait_for(observe(), allow(180)))


def sent(tool: Any) -> list[str]:
    return [request.headers.get("authorization", "").removeprefix("Bearer ") for request in tool.requests]


class TestExtra:
    @pytest.mark.parametrize("text", [True, False])
    def test_it_is_an_object_also_as_text(self, text: bool) -> None:
        said: Any = {"type": "client_credentials", "token_url": "https://idp.example/token", "scope": "a b"}
        extra = json.dumps({"auth": json.dumps(said) if text else said})
        assert parse_extra("web", extra)[0].auth == ClientCredentials("https://idp.example/token", "a b")

    @pytest.mark.parametrize(
        ("auth", "said"),
        [
            ("oauth", "expected basic, bearer, or"),
            ({"type": "password"}, "expected basic, bearer, or"),
            ({"type": "client_credentials", "token_url": "https://x", "secret": "s"}, "without secret"),
            ({"type": "client_credentials"}, "expected as token_url"),
            ({"type": "client_credentials", "token_url": "idp.example/token"}, "expected as token_url"),
            ({"type": "client_credentials", "token_url": "https://u:p@idp.example"}, "without login"),
            ({"type": "client_credentials", "token_url": "https://idp.example:99999/"}, "expected as token_url"),
            ({"type": "client_credentials", "token_url": "http://idp.example/token"}, "an address with https"),
            ({"type": "client_credentials", "token_url": "https://x", "scope": ["a"]}, "expected as scope"),
            (
                {"type": "client_credentials", "token_url": "https://x", "method": "jwt"},
                "expected as method client_sec",
            ),
            (
                {"type": "client_credentials", "token_url": "https://x", "method": ["x"]},
                "expected as method client_sec",
            ),
        ],
    )
    def test_mistakes_say_what_is_expected(self, auth: Any, said: str) -> None:
        with pytest.raises(ValueError, match=f"'auth': .*{said}"):
            parse_extra("web", json.dumps({"auth": auth}))

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
    def test_this_machine_needs_no_tls(self, host: str) -> None:
        auth = {"type": "client_credentials", "token_url": f"http://{host}:8080/token"}
        assert parse_extra("web", json.dumps({"auth": auth}))[1] == []

    def test_scripts_have_no_client_id(self) -> None:
        auth = {"type": "client_credentials", "token_url": "https://x"}
        extra = {"auth": auth, "transport": "scripts", "denodo_home": "/d", "script_password": "encrypted:x"}
        with pytest.raises(ValueError, match="scripts logs in with the login"):
            parse_extra("web", json.dumps(extra))

    @pytest.mark.parametrize(("auth", "login", "password"), [("bearer", "x", ""), ("bearer", "x", "with space")])
    def test_a_connection_without_a_usable_token(self, connect: Connect, auth: Any, login: str, password: str) -> None:
        hook = connect({"auth": auth}, login=login, password=password)
        with pytest.raises(WrongConnectionError, match="auth bearer: password must be the token"):
            hook.me()

    @pytest.mark.parametrize(("login", "password"), [("", SECRET), (CLIENT, "")])
    def test_a_client_needs_id_and_secret(self, connect: Connect, login: str, password: str) -> None:
        auth = {"type": "client_credentials", "token_url": "https://x"}
        with pytest.raises(WrongConnectionError, match="login must be the client id"):
            connect({"auth": auth}, login=login, password=password).me()


class TestTokens:
    def test_one_is_fetched_for_hook_and_probe(self, client: Connect, tool: Any, issuer: Authorisation) -> None:
        hook = client(scope="read write")
        assert hook.me().version == "9.1.0"
        assert hook.projects() == []
        assert client(scope="read write").me().version == "9.1.0"
        (seen,) = observed(Observer.of(client(scope="read write")))
        assert seen.verdict is Verdict.UP
        (asked,) = issuer.asked
        assert (asked.client, asked.secret) == (CLIENT, SECRET)
        assert asked.form == {"grant_type": ["client_credentials"], "scope": ["read write"]}
        assert set(sent(tool)) == set(issuer.given)

    @pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
    def test_a_secret_is_told_by_login_or_in_the_form(
        self, client: Connect, issuer: Authorisation, method: str
    ) -> None:
        assert client(method=method).me().version == "9.1.0"
        (asked,) = issuer.asked
        assert (asked.client, asked.secret, asked.method) == (CLIENT, SECRET, method)
        assert asked.form == {"grant_type": ["client_credentials"]}

    def test_one_that_comes_twice_is_kept(self, client: Connect, tool: Any, issuer: Authorisation, answer: Any) -> None:
        """Some servers hand out one token until it ends; the web tool's clock may be behind when it is new."""
        issuer.make = lambda: "one-and-the-same"
        tool.on("GET", "/me", answer({"message": "not yet valid"}, 401), ME)
        hook = client()
        for _ in range(3):
            assert hook.me().version == "9.1.0"
        assert observed(Observer.of(hook))[0].verdict is Verdict.UP
        assert len(issuer.asked) == 2

    def test_a_change_is_permitted_after_a_slow_token(
        self, client: Connect, tool: Any, issuer: Authorisation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        late = [0.0]

        def slow() -> None:
            late[0] += 2 * exchange.BEGINS_WITHIN

        issuer.then = slow
        monkeypatch.setattr(exchange, "monotonic", lambda: time.monotonic() + late[0])
        tool.on("PUT", "/x", {})
        hook, permitted = client(), list[float]()
        hook.permit = permitted.append
        hook._json("PUT", "/x", dict, idempotent=False)
        assert len(issuer.asked) == len(tool.asked("PUT", "/x")) == 1
        assert permitted

    def test_the_probe_fetches_one_itself(self, client: Connect, issuer: Authorisation) -> None:
        rounds = observed(Observer.of(client()), rounds=3)
        assert [each.verdict for each in rounds] == [Verdict.UP] * 3
        assert len(issuer.asked) == 1

    def test_a_static_one_is_sent_by_both(self, connect: Connect, tool: Any, issuer: Authorisation) -> None:
        issuer.live.add("st4tic-token")
        hook = connect({"timeout": WAIT, "auth": "bearer"}, port=tool.port, login="", password="st4tic-token")
        assert hook.me().version == "9.1.0"
        assert observed(Observer.of(hook))[0].verdict is Verdict.UP
        assert set(sent(tool)) == {"st4tic-token"}
        issuer.revoke()
        with pytest.raises(ConfigurationError, match="401"):
            hook.me()
        assert observed(Observer.of(hook))[0].master is Answer.MISCONFIGURED
        assert issuer.asked == []

    def test_another_one_comes_before_the_end(
        self, client: Connect, tool: Any, issuer: Authorisation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [1000.0]
        monkeypatch.setattr(tokens, "monotonic", lambda: now[0])
        hook = client()
        observer = Observer.of(hook)
        hook.me()
        now[0] += 3600 - 61
        hook.me()
        assert len(issuer.asked) == 1
        now[0] += 2
        hook.me()
        assert len(issuer.asked) == 2
        now[0] += 3600 - 59
        assert observed(observer)[0].verdict is Verdict.UP
        assert len(issuer.asked) == 3
        assert len(set(sent(tool))) == 3

    @pytest.mark.parametrize("by", ["hook", "probe"])
    def test_one_that_is_refused_is_replaced_once(
        self, client: Connect, tool: Any, issuer: Authorisation, by: str
    ) -> None:
        hook = client()
        hook.me()
        issuer.revoke()
        tool.requests.clear()
        if by == "hook":
            assert hook.me().version == "9.1.0"
        else:
            assert observed(Observer.of(hook))[0].verdict is Verdict.UP
        assert len(issuer.asked) == 2
        assert sent(tool)[:2] == issuer.given

    def test_a_request_that_changes_something_is_sent_again_with_its_body(
        self, client: Connect, tool: Any, issuer: Authorisation, tmp_path: Path
    ) -> None:
        document = {
            "paths": {
                "/public/api/serverMetadata/import": {
                    "post": {
                        "parameters": [
                            {"in": "query", "name": name}
                            for name in ("replaceJobs", "replaceDataSources", "replacePlugins", "replaceDrivers")
                        ],
                        "requestBody": {
                            "content": {
                                "multipart/form-data": {
                                    "schema": {"properties": {"file": {"type": "string", "format": "binary"}}}
                                }
                            }
                        },
                    }
                }
            }
        }
        tool.on("GET", "//v3/api-docs", document)
        tool.on("POST", "/serverMetadata/import", {})
        archive = export()  # it holds the time
        (tmp_path / "x.zip").write_bytes(archive)
        hook = client()
        hook._bound("import", hook.settings.options("import"))
        issuer.revoke()
        hook.import_metadata(ObjectStoragePath(f"file://{tmp_path}/x.zip"))
        first, second = [each for each in tool.asked("POST", "/serverMetadata/import") if each.body][-2:]
        assert archive in first.body
        assert archive in second.body
        assert second.headers["authorization"] == f"Bearer {issuer.given[-1]}"

    def test_a_web_tool_that_refuses_all_of_them_gets_two_per_request(
        self, client: Connect, tool: Any, issuer: Authorisation, answer: Any
    ) -> None:
        tool.on("GET", "/me", answer({"message": "no"}, 401))
        with pytest.raises(ConfigurationError, match="401"):
            client().me()
        assert len(tool.requests) == len(issuer.asked) == 2

    def test_the_probe_pauses_after_three_rounds_of_refusals(
        self, client: Connect, tool: Any, issuer: Authorisation, answer: Any
    ) -> None:
        tool.on("GET", "/me", answer({"message": "no"}, 401))
        rounds = observed(Observer.of(client()), rounds=6)
        assert {each.master for each in rounds} == {Answer.MISCONFIGURED}
        assert "was refused 3 times in a row" in rounds[-1].details["master"]
        assert len(tool.requests) == 6
        assert len(issuer.asked) == 4

    def test_threads_fetch_it_once(self, client: Connect, tool: Any, issuer: Authorisation) -> None:
        hooks = [client() for _ in range(8)]
        for hook in hooks:
            assert hook.get_conn()
        together = threading.Barrier(len(hooks))

        def ask(hook: DenodoSchedulerHook) -> None:
            together.wait()
            hook.me()

        for _ in range(2):
            issuer.slow.clear()
            threads = [threading.Thread(target=ask, args=(hook,)) for hook in hooks]
            for thread in threads:
                thread.start()
            issuer.slow.set()
            for thread in threads:
                thread.join()
            issuer.revoke()
        assert len(issuer.asked) == 2
        assert len(sent(tool)) > 2 * len(hooks)

    def test_processes_whose_new_tokens_end_those_of_the_others(
        self, client: Connect, tool: Any, issuer: Authorisation
    ) -> None:
        """Where a client may have one token only, each process gets its own back by one more request."""
        issuer.then = issuer.revoke
        hooks = []
        for _ in range(2):
            tokens.forget_tokens()  # what one process knows, another does not
            hooks.append(client())
            assert hooks[-1].me().version == "9.1.0"
        for hook in 3 * hooks:
            before = len(issuer.asked), len(tool.requests)
            assert hook.me().version == "9.1.0"
            assert (len(issuer.asked), len(tool.requests)) == (before[0] + 1, before[1] + 2)

    def test_a_rotated_secret_is_used_at_once(self, client: Connect, issuer: Authorisation) -> None:
        client().me()
        issuer.secret = "an0ther secret"
        issuer.revoke()
        with pytest.raises(TokenRefusedError):
            client().me()
        assert client(password="an0ther secret").me().version == "9.1.0"

    def test_one_without_an_end_is_kept_until_it_is_refused(self, client: Connect, issuer: Authorisation) -> None:
        issuer.lasts = None
        client().me()
        client().me()
        assert len(issuer.asked) == 1


class TestRefused:
    def test_it_is_a_configuration_error_of_its_own(self, client: Connect, tool: Any) -> None:
        with pytest.raises(TokenRefusedError) as caught:
            client(password="wr0ng-secret").me()
        error = caught.value
        assert isinstance(error, ConfigurationError)
        assert error.status is None
        assert str(error.reason).startswith("[token_refused] The token endpoint http://127.0.0.1:")
        assert "Next: correct login (the client id)" in str(error.reason)
        assert "401" in str(error)
        assert "wr0ng-secret" not in str(error.reason)
        assert tool.requests == []

    def test_what_the_endpoint_says_is_told(self, client: Connect, issuer: Authorisation) -> None:
        issuer.answer = Said({"error": "invalid_scope", "error_description": "no such scope"}, 400)
        with pytest.raises(TokenRefusedError, match="400, invalid_scope: no such scope"):
            client().me()

    def test_it_is_paced_for_hook_and_probe(
        self, client: Connect, issuer: Authorisation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wrong = "wr0ng-secret"
        for _ in range(2):
            with pytest.raises(TokenRefusedError):
                client(password=wrong).me()
        rounds = observed(Observer.of(client(password=wrong)), rounds=5)
        assert {each.master for each in rounds} == {Answer.MISCONFIGURED}
        assert "refused the client 3 times in a row" in rounds[-1].details["master"]
        with pytest.raises(TokenRefusedError, match="3 times in a row"):
            client(password=wrong).me()
        assert len(issuer.asked) == 3
        monkeypatch.setattr(logins, "PAUSE", 0.0)
        issuer.secret = wrong
        assert client(password=wrong).me().version == "9.1.0"

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            (Said({"access_token": "x" * 9, "token_type": "mac"}), "of the type 'mac', and not Bearer"),
            (Said({"access_token": "x" * 9}), "without token_type, which must be Bearer"),
            (Said({"access_token": "x" * 9, "token_type": 7}), "of the type another one, and not Bearer"),
            (Said({"token_type": "Bearer"}), "holds no access_token"),
            (Said(["x"]), "holds no access_token"),
            (Said({"access_token": "x\r\ny: z" * 9, "token_type": "Bearer"}), "cannot be sent"),
            (Said({"access_token": "abcd", "token_type": "Bearer"}), "cannot be sent"),
            (Said({"access_token": 12345678, "token_type": "Bearer"}), "cannot be sent"),
            (Said({"access_token": "x" * 9, "token_type": "Bearer", "expires_in": -1}), "expires_in"),
            (Said({"access_token": "x" * 9, "token_type": "Bearer", "expires_in": 0}), "no number of seconds above 0"),
            (Said({"access_token": "x" * 9, "token_type": "Bearer", "expires_in": "soon"}), "expires_in"),
            (Said({"access_token": "x" * 9, "token_type": "Bearer", "expires_in": True}), "expires_in"),
            (Said(b"<html>login</html>", 200, {"Content-Type": "text/html"}), "HTML page"),
            (Said(b"", 302, {"Location": "https://elsewhere"}), "redirects"),
            (Said(b"nothing here", 404), "404"),
        ],
    )
    def test_what_is_no_bearer_token(
        self, client: Connect, tool: Any, issuer: Authorisation, said: Said, expected: str
    ) -> None:
        issuer.answer = said
        with pytest.raises(TokenRefusedError) as caught:
            client().me()
        assert expected in str(caught.value)
        assert "x" * 9 not in str(caught.value)
        seen = observed(Observer.of(client()))[0]
        assert seen.master is Answer.MISCONFIGURED
        assert expected in seen.details["master"]
        assert tool.requests == []

    def test_no_redirect_is_followed(self, client: Connect, issuer: Authorisation) -> None:
        with authorisation(CLIENT, SECRET) as elsewhere:
            for status in (301, 302, 307, 308):
                issuer.answer = Said(b"", status, {"Location": elsewhere.url})
                with pytest.raises(TokenRefusedError, match=f"redirects .{status}"):
                    client().me()
            assert elsewhere.asked == []

    def test_a_refusal_is_told_also_when_all_is_late(self) -> None:
        call = Call("web", "//server", "GET", "/me")

        def late() -> None:
            with call.within(allow(60), "deadline") as exchange:
                exchange.expire()
                raise TokenRefusedError("the client is refused")

        with pytest.raises(TokenRefusedError, match="the client is refused"):
            late()

    def test_tls_that_is_cut_at_the_deadline_is_silence(self, client: Connect) -> None:
        endpoint = client()._auth.tokens.login  # type: ignore[union-attr]
        error = requests.exceptions.SSLError(ssl.SSLError(1, "bad record mac"))
        assert type(endpoint._failed(error, late=True)) is NoTokenError
        assert type(endpoint._failed(error, late=False)) is TokenRefusedError


class TestNoToken:
    def test_a_token_that_ends_while_its_endpoint_is_down(
        self, client: Connect, tool: Any, issuer: Authorisation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Silence of the master counts as long as it was asked, and not longer."""
        now = [1000.0]
        monkeypatch.setattr(tokens, "monotonic", lambda: now[0])
        hook = client()
        hook.me()
        issuer.answer = Said(b"", 503)
        tool.shutdown()
        tool.server_close()
        with_slave = Observer(master=Endpoint.of(hook), second=Endpoint.of(hook), slave=Endpoint.of(hook))
        now[0] += 3600 - 50
        (seen,) = observed(with_slave)
        assert (seen.master, seen.second) == (Answer.NO_ANSWER,) * 2
        now[0] += 51
        with_slave = Observer(master=Endpoint.of(hook), second=Endpoint.of(hook), slave=Endpoint.of(hook))
        for seen in observed(with_slave, rounds=2):
            assert (seen.master, seen.second) == (Answer.MISCONFIGURED,) * 2
            assert seen.verdict is Verdict.MISCONFIGURED
            assert "It says nothing about the Scheduler server" in seen.details["master"]

    def test_silence_is_no_vote(self, client: Connect, tool: Any, issuer: Authorisation) -> None:
        issuer.silent = True
        hook = client(timeout=[60, 0.3])
        with pytest.raises(NoTokenError) as caught:
            hook.me()
        assert "[no_token]" in str(caught.value.reason)
        assert "Next: look at the authorisation server" in str(caught.value.reason)
        assert "says nothing about the Scheduler server" in str(caught.value)
        both = Observer(master=Endpoint.of(hook), second=Endpoint.of(hook), slave=Endpoint.of(hook))
        for seen in observed(both, rounds=2):
            assert (seen.master, seen.second, seen.slave) == (Answer.MISCONFIGURED,) * 3
            assert seen.verdict is Verdict.MISCONFIGURED
            assert seen.common == f"both paths need tokens of {issuer.url}"
            assert "gives no token" in seen.details["master"]
        assert tool.requests == []

    def test_a_deadline_stands_still_while_a_token_is_fetched(self) -> None:
        async def wait(before: float, after: float) -> None:
            async with tokens.in_time(1.0):
                async with tokens.standing_still():
                    await asyncio.sleep(before)
                await asyncio.sleep(after)

        asyncio.run(wait(1.2, 0))
        with pytest.raises(TimeoutError):
            asyncio.run(wait(0, 600))

    def test_a_deadline_stands_still_while_a_thread_is_waited_for(
        self, client: Connect, tool: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All threads may wait for token endpoints of other pairs when a large answer is to be read in one."""
        hook, check = client(timeout=[allow(0.5), allow(0.5)]), probe.check_body
        seconds = allow(1.2)

        def late(path: str, *answer: Any) -> Any:
            if path == "/me":
                time.sleep(seconds)
            return check(path, *answer)

        monkeypatch.setattr(probe, "_LARGE", 0)
        monkeypatch.setattr(probe, "check_body", late)
        assert observed(Observer.of(hook))[0].verdict is Verdict.UP

    @pytest.mark.parametrize(
        ("said", "expected"),
        [
            (Said(b"busy", 503), "503"),
            (Said(b"slow down", 429), "429"),
            (Said(b'{"access_token": "x'), "cut or damaged"),
            (Said(b""), "is empty"),
            (Said(b"[" * 50_000), "more values|nested"),
        ],
    )
    def test_nothing_whole(self, client: Connect, tool: Any, issuer: Authorisation, said: Said, expected: str) -> None:
        issuer.answer = said
        with pytest.raises(NoTokenError, match=expected):
            client().me()
        assert observed(Observer.of(client()))[0].master is Answer.MISCONFIGURED
        assert tool.requests == []

    @pytest.mark.parametrize("status", [200, 401])
    def test_a_huge_answer_is_not_read(self, client: Connect, issuer: Authorisation, status: int) -> None:
        read = [0]

        def endless() -> Iterator[bytes]:
            for piece in repeat(b" " * 65536, 10_000):
                read[0] += 1
                yield piece

        issuer.answer = Said(endless(), status)
        with pytest.raises(DenodoSchedulerError):
            client().me()
        assert read[0] < 1000

    def test_no_server_at_all(self, client: Connect, issuer: Authorisation, tool: Any) -> None:
        hook = client(token_url="http://127.0.0.1:1/token")
        with pytest.raises(NoTokenError, match="refused"):
            hook.me()
        assert observed(Observer.of(hook))[0].master is Answer.MISCONFIGURED

    def test_the_token_before_is_used_until_it_ends(
        self, client: Connect, tool: Any, issuer: Authorisation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [1000.0]
        monkeypatch.setattr(tokens, "monotonic", lambda: now[0])
        hook = client()
        hook.me()
        issuer.answer = Said(b"", 503)
        now[0] += 3600 - 50
        hook.me()
        hook.me()
        assert len(issuer.asked) == 2
        now[0] += 31
        hook.me()
        assert len(issuer.asked) == 3
        now[0] += 20
        with pytest.raises(NoTokenError):
            hook.me()

    def test_the_secret_goes_through_no_proxy_to_this_machine(
        self, client: Connect, issuer: Authorisation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hook = client()
        with authorisation(CLIENT, SECRET) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/oauth2/token"))
            monkeypatch.setenv("ALL_PROXY", proxy.url.removesuffix("/oauth2/token"))
            assert hook._auth.tokens.get() == issuer.given[0]  # type: ignore[union-attr]
            assert proxy.asked == []


@pytest.mark.parametrize(("url", "warned"), [("https://IDP.example:443/b", True), ("https://other.example/a", False)])
def test_a_sync_warns_of_one_token_endpoint(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, url: str, warned: bool
) -> None:
    for name, token_url in (("MASTER", "https://idp.example/a?x=1"), ("SLAVE", url)):
        auth = {"type": "client_credentials", "token_url": token_url}
        said = {"conn_type": "denodo_scheduler", "host": name, "login": CLIENT, "password": SECRET}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps({**said, "extra": {"auth": auth}}))
    pair = SimpleNamespace(watch=SimpleNamespace(second_path="//10.0.0.1:8000"))
    hooks = {name: DenodoSchedulerHook(name) for name in ("master", "slave")}
    guard._warn_of_one_thing(SimpleNamespace(pair=pair, **hooks))  # type: ignore[arg-type]
    assert ("need tokens of https://idp.example/a, so nothing" in caplog.text) is warned


class TestWay:
    """The way to the token endpoint has the TLS settings of the connection, and a proxy of its own address."""

    @pytest.mark.parametrize(
        ("days", "trusted", "said"), [(1, True, ""), (-1, True, "Renew"), (1, False, "CA certificates of both")]
    )
    def test_tls(
        self, tool: Any, issuer: Authorisation, connect: Connect, tmp_path: Path, days: int, trusted: bool, said: str
    ) -> None:
        pem = certificate(tmp_path / "issuer.pem", names=["localhost"], days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        issuer.socket = context.wrap_socket(issuer.socket, server_side=True)
        url = f"https://localhost:{issuer.server_address[1]}/token"
        extra = {"timeout": WAIT, "auth": {"type": "client_credentials", "token_url": url}}
        hook = connect(extra | ({"verify": str(pem)} if trusted else {}), port=tool.port, login=CLIENT, password=SECRET)
        if not said:
            assert hook.me().version == "9.1.0"
            return
        with pytest.raises(TokenRefusedError, match=f"TLS failed: .*{said}"):
            hook.me()
        assert observed(Observer.of(hook))[0].master is Answer.MISCONFIGURED
        assert tool.requests == []

    def test_one_file_for_two_certificate_authorities(
        self, tool: Any, issuer: Authorisation, connect: Connect, tmp_path: Path
    ) -> None:
        """The web tool and the token endpoint have certificates of different authorities."""
        pems = []
        for server in (tool, issuer):
            of = f"authority {server.server_address[1]}"
            pems.append(certificate(tmp_path / f"{of}.pem", names=["localhost"], of=of))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pems[-1])
            server.socket = context.wrap_socket(server.socket, server_side=True)
        both = tmp_path / "both.pem"
        both.write_bytes(b"".join(pem.read_bytes() for pem in pems))
        url = f"https://localhost:{issuer.server_address[1]}/token"
        for verify, works in ((both, True), (pems[0], False), (pems[1], False)):
            tokens.forget_tokens()
            extra = {
                "timeout": WAIT,
                "auth": {"type": "client_credentials", "token_url": url},
                "verify": str(verify),
            }
            hook = connect(extra, schema="https", host="localhost", port=tool.port, login=CLIENT, password=SECRET)
            seen = observed(Observer.of(hook))[0]
            if works:
                assert hook.me().version == "9.1.0"
                assert seen.verdict is Verdict.UP
            else:
                assert seen.master is Answer.MISCONFIGURED
                with pytest.raises(ConfigurationError, match="TLS failed"):
                    hook.me()

    @pytest.mark.parametrize("verify", [True, False])
    def test_an_endpoint_that_is_not_verified_is_warned_of(
        self, connect: Connect, capfd: pytest.CaptureFixture[str], verify: bool
    ) -> None:
        auth = {"type": "client_credentials", "token_url": "https://idp.example/token"}
        connect({"verify": verify, "auth": auth}, login=CLIENT, password=SECRET).get_conn()
        assert ("TLS certificates are not verified" in "".join(capfd.readouterr())) is not verify

    def test_a_proxy(self, client: Connect, tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{tool.port}")
        hook = client(token_url="https://idp.example.org/token")
        with pytest.raises(NoTokenError, match="Tunnel connection failed: 501"):
            hook.me()
        monkeypatch.setenv("https_proxy", f"user:{SECRET}@127.0.0.1:no-port")
        with pytest.raises(NoTokenError, match="Correct http_proxy") as caught:
            hook.me()
        assert SECRET not in str(caught.value)


def test_nothing_secret_is_ever_seen(
    client: Connect,
    tool: Any,
    issuer: Authorisation,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(logins, "PAUSE", 0.0)
    said: list[str] = []
    hook = client()
    hook.me()
    said += [repr(hook._auth), repr(Endpoint.of(hook)), *command_lines()]
    said += [repr(each) for name, each in vars(hook).items() if name != "_connection"]  # which Airflow makes
    issuer.answer = Said({"error": "invalid_client", "error_description": f"{CLIENT} has not {SECRET}"}, 401)
    issuer.revoke()
    escaped = Said({"error": "invalid_client", "error_description": f"not {escape(SECRET)}"}, 400)
    for answer in (
        issuer.answer,
        escaped,
        Said(SECRET.encode(), 503),
        Said({"access_token": SECRET, "token_type": SECRET}),
    ):
        issuer.answer = answer
        with pytest.raises(DenodoSchedulerError) as caught:
            hook.me()
        said += [str(caught.value), repr(caught.value), repr(vars(caught.value)), str(hook.test_connection())]
        said.append(repr(observed(Observer.of(hook))[0]))
    output = "".join([*said, *capfd.readouterr(), caplog.text])
    basic = b64encode(f"{quote_plus(CLIENT)}:{quote_plus(SECRET)}".encode()).decode()
    for secret in (SECRET, quote(SECRET, safe=""), quote_plus(SECRET), escape(SECRET), basic, *issuer.given):
        assert secret not in output
    assert "gives no token" in output
    assert "a token came" in output


def test_airflow_masks_token_and_secret(client: Connect, issuer: Authorisation) -> None:
    from airflow.sdk.log import redact

    client().me()
    assert redact(f"{issuer.given[0]} and {SECRET} and {quote_plus(SECRET)}") == "*** and *** and ***"


def test_masks_do_not_grow_for_ever(
    client: Connect, tool: Any, issuer: Authorisation, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow forgets none, and each makes the next one slower, in a triggerer that lives for months."""
    caplog.set_level(logging.DEBUG)
    masked: list[str] = []
    monkeypatch.setattr(tokens, "mask_secret", masked.append)
    monkeypatch.setattr(tokens, "_MASKS", 2)
    hook = client()
    for _ in range(4):
        hook.me()
        issuer.revoke()
    assert len(issuer.given) == 4
    assert set(masked) & set(issuer.given) == set(issuer.given[:2])
    assert not any(token in caplog.text for token in issuer.given)


def test_an_address_with_a_query_is_not_shown(client: Connect, issuer: Authorisation) -> None:
    hook = client(token_url="http://127.0.0.1:1/token?k=qu3ry-secret")
    with pytest.raises(NoTokenError) as caught:
        hook.me()
    said = [str(caught.value), repr(hook.settings), repr(Endpoint.of(hook).grant)]
    assert not any("qu3ry" in each for each in said)


@pytest.mark.parametrize(("lasts", "margin"), [(None, 0.0), (10, 2.0), ("300", 60.0), (3600, 60.0), (1e30, 60.0)])
def test_the_margin_is_a_fifth_of_a_life(lasts: Any, margin: float) -> None:
    token = read_token({"access_token": "abcdef", "token_type": "bearer", "expires_in": lasts})
    assert isinstance(token, Token)
    assert token.margin == margin


@pytest.mark.parametrize("value", ["", "abcd", "a b c d", "änderung", "x" * 20_000, None, 7, "abcde\n"])
def test_what_cannot_be_sent(value: Any) -> None:
    assert not usable(value)


class TestStandin:
    """The stand-in's own token endpoint, whose clients are the accounts of the Scheduler server."""

    @pytest.fixture
    def of_master(self, servers: StandinPair, connect: Connect) -> Iterator[Connect]:
        connection = servers.master.connection()
        plain = {name: value for name, value in connection.items() if name != "extra"}
        url = f"http://{connection['host']}:{connection['port']}{PATH}/oauth2/token"

        def make(**fields: Any) -> DenodoSchedulerHook:
            auth = {"type": "client_credentials", "token_url": url}
            return connect({**connection["extra"], "auth": auth}, **{**plain, **fields})

        yield make
        servers.master.webtool.guesses(token_seconds=300)

    def test_hook_and_probe_use_it(self, servers: StandinPair, of_master: Connect) -> None:
        hook = of_master()
        assert "scheduler_admin" in hook.me().roles
        assert observed(Observer.of(hook))[0].verdict is Verdict.UP
        login = tokens._known["web"].get()
        servers.master.webtool.kill()
        servers.master.webtool.start()  # it has forgotten its tokens
        hook.statuses()
        assert tokens._known["web"].get() != login

    def test_tokens_end(self, servers: StandinPair, of_master: Connect) -> None:
        servers.master.webtool.guesses(token_seconds=1)
        hook = of_master()
        hook.me()
        token = tokens._known["web"].get()
        deadline = time.monotonic() + allow(60)
        headers = {"Authorization": f"Bearer {token}"}
        while httpx.get(f"{hook.base_url}{PATH}/public/api/me?uri={hook.server}", headers=headers).is_success:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert hook.me().version

    def test_a_wrong_password_is_refused_by_the_server(self, of_master: Connect) -> None:
        with pytest.raises(ConfigurationError, match="401"):
            of_master(password="wr0ng-password").me()
