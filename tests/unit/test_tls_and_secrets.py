"""TLS that fails, proxies and passwords: hook and probe say the same, a next step with it, and never a secret."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from denodo_demo.slowness import allow
from denodo_ha.errors import redacted
from denodo_ha.server.address import proxy_url
from denodo_ha.server.options import EXPORT_OPTIONS, METADATA_PASSWORD, OptionsError, bind
from denodo_ha.verdict import Answer, Observation
from denodo_scheduler.client.probe import Observer
from denodo_scheduler.exceptions import ConfigurationError, DenodoSchedulerError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from support.certificates import certificate

Connect = Callable[..., DenodoSchedulerHook]
ME = {"serverData": {"version": {"full": "9.1.0"}}}
SECRET = "pr0xy-s3cret"


def observed(hook: DenodoSchedulerHook) -> Observation:
    async def observe() -> Observation:
        async with aclosing(Observer.of(hook)) as observer:
            return await observer.observe()

    return asyncio.run(asyncio.wait_for(observe(), allow(180)))


def serve(webtool: Any, pem: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    webtool.socket = context.wrap_socket(webtool.socket, server_side=True)
    webtool.on("GET", "/me", ME)
    webtool.on("GET", "/projects", [])


class TestTls:
    @pytest.mark.parametrize(
        ("names", "days", "trusted", "said", "next_step"),
        [
            (["localhost"], -1, True, "expired", "Renew the web tool's certificate"),
            (["localhost"], 1, False, "self-signed", "set verify in its extra to the path of the CA certificate"),
            (["elsewhere"], 1, True, "mismatch", "Put a name that the certificate is for into the connection as host"),
            (["10.1.2.3"], 1, True, "mismatch", "Put a name that the certificate is for into the connection as host"),
        ],
        ids=["expired", "self-signed", "another host", "another address"],
    )
    def test_hook_and_probe_say_what_is_wrong_and_what_to_do(
        self,
        webtool: Any,
        connect: Connect,
        tmp_path: Path,
        names: list[str],
        days: int,
        trusted: bool,
        said: str,
        next_step: str,
    ) -> None:
        pem = certificate(tmp_path / "tool.pem", names=names, days=days)
        serve(webtool, pem)
        extra = {"verify": str(pem)} if trusted else {}
        hook = connect(extra, schema="https", host="localhost", port=webtool.port)
        with pytest.raises(ConfigurationError) as caught:
            hook.me()
        seen = observed(hook)
        assert seen.master is Answer.MISCONFIGURED
        for text in (str(caught.value), seen.details["master"]):
            assert said in text
            assert next_step in text
        assert webtool.requests == []

    def test_unverified_tls_works_for_both_and_is_said(
        self, webtool: Any, connect: Connect, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        serve(webtool, certificate(tmp_path / "tool.pem", names=["elsewhere"], days=-1))
        hook = connect({"verify": False}, schema="https", host="localhost", port=webtool.port)
        assert hook.me().version == "9.1.0"
        assert observed(hook).master is Answer.UP
        assert "TLS certificates are not verified" in "".join(capfd.readouterr())


PROXIES = [
    f"user:{SECRET}@127.0.0.1:no-port",
    f"http://user:{SECRET}@127.0.0.1:no-port",
    f"http://user:{SECRET}@127.0.0.1:99999",
    f"ftp://user:{SECRET}@127.0.0.1:1",
    f"http://user:{SECRET}@[bad:1",
    f"http://user:{SECRET}@",
    f"http://user:{SECRET}#@127.0.0.1:1",
    f"http://user:{SECRET}/x@127.0.0.1:1",
    f"http://user:{SECRET} x@127.0.0.1:1",
    f"http://user:{SECRET}\t@127.0.0.1:1",
    f"user:{SECRET}",
    f"http:/user:{SECRET}@127.0.0.1:1",
]


class TestProxies:
    @pytest.fixture(autouse=True)
    def _no_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("no_proxy", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)

    @pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
    @pytest.mark.parametrize("proxy", PROXIES)
    def test_one_that_cannot_be_used_is_an_error_without_its_password(
        self,
        connect: Connect,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
        variable: str,
        proxy: str,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        monkeypatch.setenv(variable, proxy)
        hook = connect(host="elsewhere.example.org", port=80)
        with pytest.raises(ConfigurationError) as by_hook:
            hook.me()
        with pytest.raises(ConfigurationError) as by_probe:
            Observer.of(hook)
        assert hook.test_connection() == (False, str(by_hook.value))
        assert str(by_hook.value) == str(by_probe.value)
        assert "Correct http_proxy, https_proxy or all_proxy" in str(by_hook.value)
        said = "".join([*capfd.readouterr(), caplog.text, repr(by_hook.value), repr(by_probe.value), repr(vars(hook))])
        assert SECRET not in said

    @pytest.mark.parametrize("schema", ["", "//", "http://"])
    def test_one_without_schema_is_used_by_both(
        self, webtool: Any, connect: Connect, monkeypatch: pytest.MonkeyPatch, schema: str
    ) -> None:
        webtool.on("GET", "http://elsewhere.example.org", ME)
        monkeypatch.setenv("http_proxy", f"{schema}user:{SECRET}@127.0.0.1:{webtool.port}")
        hook = connect(host="elsewhere.example.org", port=80)
        with pytest.raises(DenodoSchedulerError, match="404"):
            hook.me()
        observed(hook)
        assert len(webtool.requests) == 2
        assert {request.headers["host"].partition(":")[0] for request in webtool.requests} == {"elsewhere.example.org"}
        assert all("proxy-authorization" in request.headers for request in webtool.requests)

    def test_one_that_is_silent_is_told_without_its_password(
        self, connect: Connect, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("http_proxy", f"user:{SECRET}@127.0.0.1:1")
        hook = connect(host="elsewhere.example.org", port=80)
        with pytest.raises(DenodoSchedulerError) as caught:
            hook.me()
        seen = observed(hook)
        assert seen.master is Answer.MISCONFIGURED
        assert SECRET not in "".join([*capfd.readouterr(), str(caught.value), repr(caught.value), repr(seen)])

    def test_a_host_alone_gets_a_schema(self) -> None:
        assert proxy_url("proxy:3128") == "http://proxy:3128"
        assert proxy_url("socks5h://proxy") == "socks5h://proxy"


@pytest.mark.parametrize(
    "text",
    [f"no host in http://user:{SECRET}@host/x", f"URL('user:{SECRET}@host:1')", f"netloc 'u:{SECRET}@h' is invalid"],
)
def test_errors_of_libraries_lose_what_stands_before_an_at(text: str) -> None:
    assert SECRET not in redacted(text)
    assert "host" in redacted(text) or "h'" in redacted(text)


def document(query: list[str], form: list[str]) -> dict[str, Any]:
    slots = [{"in": "query", "name": name} for name in (*EXPORT_OPTIONS, *query)]
    content = {"multipart/form-data": {"schema": {"properties": {name: {} for name in form}}}}
    post = {"parameters": slots, "requestBody": {"content": content}}
    return {"paths": {"/public/api/serverMetadata/export": {"post": post}}}


class TestMetadataPassword:
    OPTIONS = {**EXPORT_OPTIONS, METADATA_PASSWORD: SECRET}  # noqa: RUF012

    @pytest.mark.parametrize("query", [["metadataPassword"], []])
    @pytest.mark.parametrize("form", ["metadataPassword", "exportMetadataPassword", "metadata-password"])
    def test_it_never_goes_into_the_query_where_the_body_takes_it(self, query: list[str], form: str) -> None:
        bound = bind(document(query, [form]), "export", self.OPTIONS)
        assert bound.form == {form: SECRET}
        assert SECRET not in str(bound.query)
        assert bound.exposed == ()

    def test_not_even_where_the_connection_says_so(self) -> None:
        wish = {"in": "query", "name": "metadataPassword", "value": SECRET}
        with pytest.raises(OptionsError, match="not put into the query where the server offers") as caught:
            bind(document(["metadataPassword"], ["metadataPassword"]), "export", {METADATA_PASSWORD: wish})
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("around", ["metadata", "exportMetadata"])
    def test_its_name_may_be_said_in_pieces(self, around: str) -> None:
        pieces = {"type": "object", "properties": {"password": {"type": "string"}}}
        offers = document(["metadataPassword"], [])
        post = offers["paths"]["/public/api/serverMetadata/export"]["post"]
        post["requestBody"]["content"] = {"application/json": {"schema": {"properties": {around: pieces}}}}
        bound = bind(offers, "export", self.OPTIONS)
        assert bound.json == {around: {"password": SECRET}}
        assert bound.exposed == ()
        wish = {"in": "query", "name": "metadataPassword", "value": SECRET}
        with pytest.raises(OptionsError, match=rf"the server offers {around}.password \(json\)"):
            bind(offers, "export", {METADATA_PASSWORD: wish})

    @pytest.mark.parametrize("turned", [False, True])
    def test_of_several_bodies_the_one_that_takes_it_is_used(self, turned: bool) -> None:
        offers = document(["metadataPassword"], ["x"])
        post = offers["paths"]["/public/api/serverMetadata/export"]["post"]
        takes = {"application/json": {"schema": {"properties": {"metadataPassword": {"type": "string"}}}}}
        content = post["requestBody"]["content"]
        post["requestBody"]["content"] = takes | content if turned else content | takes
        bound = bind(offers, "export", self.OPTIONS)
        assert bound.json == {METADATA_PASSWORD: SECRET}
        assert bound.exposed == ()

    def test_where_there_is_nothing_else_it_is_said(self) -> None:
        bound = bind(document(["metadataPassword"], []), "export", self.OPTIONS)
        assert bound.query[METADATA_PASSWORD] == SECRET
        assert bound.exposed == (METADATA_PASSWORD,)
        assert bind(document(["metadataPassword"], []), "export", EXPORT_OPTIONS).exposed == ()

    def test_the_hook_warns_of_it_without_showing_it(
        self, webtool: Any, connect: Connect, capfd: pytest.CaptureFixture[str]
    ) -> None:
        webtool.on("GET", "//v3/api-docs", document(["metadataPassword"], []))
        hook = connect({"metadata_password": SECRET}, port=webtool.port)
        hook._bound("export", hook.settings.options("export"))
        said = "".join(capfd.readouterr())
        assert "takes metadataPassword for the export only in the query of the address" in said
        assert SECRET not in said
