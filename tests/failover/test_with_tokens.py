"""Sync and failover of a pair whose connections log in by bearer tokens, from authorisation servers of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from denodo_scheduler.client import tokens
from denodo_scheduler.exceptions import ConfigurationError
from denodo_scheduler.hooks.scheduler import DenodoSchedulerHook
from support.authorisation import Authorisation, Said, authorisation, token_of
from support.failover import Failover
from support.sync import Books, enabled, states

CLIENT, SECRET = "denodo ha", "s3cret/of+the client&€"

Logins = dict[str, Authorisation]
Connect = Callable[..., None]


@pytest.fixture(autouse=True)
def _no_tokens() -> Iterator[None]:
    tokens.forget_tokens()
    yield
    tokens.forget_tokens()


@pytest.fixture
def logins(unsynced: Failover, connect: Connect) -> Iterator[Logins]:
    """An authorisation server for each connection, whose client is no account of a Scheduler server."""
    with ExitStack() as stack:
        made: Logins = {}
        for server in (unsynced.master, unsynced.slave):
            made[server.name] = issuer = stack.enter_context(authorisation(CLIENT, SECRET))
            issuer.make = token_of(server)
            auth = {"type": "client_credentials", "token_url": issuer.url}
            extra = {**server.connection()["extra"], "auth": auth}
            connect(server, login=CLIENT, password=SECRET, extra=extra)
        yield made


def test_a_sync_and_a_failover(unsynced: Failover, logins: Logins, connect: Connect) -> None:
    """The web tools end each token after a second, without a word to the client."""
    pair = unsynced
    for server in (pair.master, pair.slave):
        server.webtool.guesses(token_seconds=1)
        connect(server, "refused", login=CLIENT, password=SECRET)
        with pytest.raises(ConfigurationError, match="401"):
            DenodoSchedulerHook("denodo_scheduler_refused").me()
    pair.sync.synced()
    pair.sync.publish()
    wanted = enabled(pair.master)
    assert set(states(pair.slave)) == set(states(pair.master))
    assert set(states(pair.slave).values()) == {"DISABLED"}
    pair.master.scheduler.kill()
    event = pair.run(actor="watch").done
    assert enabled(pair.slave) == wanted
    assert (event["enabled"], pair.record.active) == (9, "slave")
    pair.master.scheduler.start()
    assert pair.run().code == "quench"
    assert enabled(pair.master) == set()
    for issuer in logins.values():
        assert issuer.given
        assert {asked.secret for asked in issuer.asked} == {SECRET}


@pytest.mark.parametrize("lost", [["master"], ["master", "slave"]])
def test_a_token_endpoint_that_is_lost_with_the_master_is_no_vote(
    unsynced: Failover, logins: Logins, lost: list[str]
) -> None:
    pair = unsynced
    pair.sync.synced()
    pair.sync.publish()
    wanted, slave = enabled(pair.master), Books(pair.slave)
    pair.master.scheduler.kill()
    pair.master.webtool.kill()
    tokens.forget_tokens()  # as in the process of another task
    for name in lost:
        logins[name].answer = Said({"error": "temporarily_unavailable"}, 503)
    out = pair.run(actor="watch")
    assert (out.code, out.event) == ("misconfigured", None)
    with pair.looker(pair.prepared()) as looker:
        assert f"The token endpoint {logins['master'].url} of connection" in pair.look(looker).details["master"]
    assert slave.audit == []
    logins["master"].make = lambda: "for-a-server-that-is-dead"
    for name in lost:
        logins[name].answer = None
    assert pair.run(actor="watch").done["enabled"] == 9
    assert enabled(pair.slave) == wanted
