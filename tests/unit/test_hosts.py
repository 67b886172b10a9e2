"""The hosts in the addresses of data sources, and nothing else of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.hosts import hosts_of

SQL_SERVER = "jdbc:sqlserver://localhost:1433;databaseName=master;encrypt=false"  # of a genuine export
DESCRIPTION = "jdbc:oracle:thin:@(DESCRIPTION=(ADDRESS=(PROTOCOL=TCP)(HOST = a.b)(PORT=1521))(ADDRESS=(HOST=c)))"


@pytest.mark.parametrize(
    ("address", "hosts"),
    [
        ("//localhost:49999/admin", ("localhost",)),
        (SQL_SERVER, ("localhost",)),
        ("localhost", ("localhost",)),
        ("VDP-A.example.com.:9999", ("vdp-a.example.com",)),
        ("jdbc:vdb://a:9999/db?user=u&password=p", ("a",)),
        ("jdbc:mysql://a:3306,b:3306/sales", ("a", "b")),
        ("jdbc:oracle:thin:@a:1521:orcl", ("a",)),
        ("jdbc:oracle:thin:scott/tiger@a:1521:orcl", ("a",)),
        ("jdbc:oracle:thin:@//a:1521/x", ("a",)),
        ("jdbc:oracle:thin:@ldap://a:389/cn=x", ("a",)),
        (DESCRIPTION, ("a.b", "c")),
        ("jdbc:sqlserver://;serverName=a;user=sa;password=p", ("a",)),
        ("jdbc:sqlserver://a\\inst:1433", ("a",)),
        ("jdbc:postgresql://u:p@[fd00::1]:5432/x", ("fd00::1",)),
        ("https://u:p@a/x?y=//b/z", ("a", "b")),
        ("file:///var/data/x.csv", ()),
        ("/var/data/x.csv", ()),
        ("", ()),
        ("true", ()),
        ("9999", ()),
        ("10.0.0.1", ("10.0.0.1",)),
    ],
)
def test_hosts(address: str, hosts: tuple[str, ...]) -> None:
    assert hosts_of(address) == hosts


@given(st.text(alphabet=st.sampled_from("ab.:/@;=,()[]\\ ?&"), max_size=30))
def test_whatever_an_address_is(address: str) -> None:
    for host in hosts_of(address):
        assert host in address.casefold()
        assert not set(host) & set("/@;=,()[]\\ ?&")


@given(st.text(alphabet=st.characters(codec="ascii", categories=("L", "N")), min_size=4))
def test_a_password_is_no_host(secret: str) -> None:
    for address in (f"jdbc:x://u:{secret}@host:1/db;password={secret}", f"//host:9/db?password={secret}&user=u"):
        assert hosts_of(address) == ("host",)
