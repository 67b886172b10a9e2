"""Values of data sources that belong to one site."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from denodo_ha.pairs import Pair
from denodo_ha.pairs_file import PairsError, load_pairs
from denodo_ha.pairs_options import PropertiesOptions
from denodo_ha.properties import PropertiesError, SiteProperties, rewrite_element, unreachable_hosts
from denodo_ha.record import Role
from denodo_ha.snapshot.elements import ElementError, ElementParser
from denodo_standin.params import parse

HEAD = '<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE config SYSTEM "custom-config.dtd">'
URI = "default.dataSource.VDP.vdp.connectionURI"
B = "//vdp-b:9999/admin"


def source(*parameters: str, sub_type: str = "VDP", kind: str = "dataSource", head: str = HEAD) -> str:
    inner = f'<element type="{kind}" subType="{sub_type}" draft="false"/><default-parameters>{"".join(parameters)}'
    return f"{head}<config>{inner}</default-parameters></config>"


def simple(name: str, value: str, attributes: str = "") -> str:
    return f'<simple-param name="{name}"{attributes}><value>{value}</value></simple-param>'


VDP = source(
    simple("name", "vdp"),
    simple("connectionURI", "//vdp-a:9999/admin?a=1&amp;b=&lt;2&gt;"),
    simple("password", "c2VjcmV0", ' encrypted="true"'),
    '<compound-param name="pool"><value><simple-param name="connectionURI"><value>inner</value></simple-param></value>'
    "</compound-param>",
)

# --- names and values


@pytest.mark.parametrize(
    "name",
    [
        URI,
        "DEFAULT.dataSource.vdp.VDP.connectionuri",
        "*.dataSource.VDP.*.connectionURI",
        "def*.dataSource.?DP.[vw]dp.connectionURI",
    ],
)
def test_a_name_fits_without_case_and_with_globs(name: str) -> None:
    site = SiteProperties({name: B})
    assert site.value_for("default", "VDP", "vdp", "connectionURI") == B
    assert site.value_for("default", "VDP", "vdp", "login") is None
    assert site.value_for("default", "JDBC", "vdp", "connectionURI") is None
    assert site.value_for("default", "VDP", "other", "connectionURI") is None or "*.connectionURI" in name


def test_names_with_dots_are_read_in_every_way_that_fits() -> None:
    site = SiteProperties({"a.b.dataSource.VDP.c.dataSource.VDP.d.uri": B})
    assert site.value_for("a.b", "VDP", "c.dataSource.VDP.d", "uri") == B
    assert site.value_for("a.b.dataSource.VDP.c", "VDP", "d", "uri") == B
    assert site.value_for("a", "VDP", "d", "uri") is None
    brackets = SiteProperties({"sales[eu].dataSource.VDP.x.uri": B})
    assert brackets.value_for("sales[eu]", "VDP", "x", "uri") == B


def test_the_most_specific_name_wins() -> None:
    site = SiteProperties(
        {
            "*.dataSource.*.*.uri": "1",
            "*.dataSource.VDP.*.uri": "2",
            "sales_*.dataSource.VDP.*.uri": "3",
            "sales_eu.dataSource.VDP.*.uri": "4",
            "sales_eu.dataSource.VDP.x.uri": "5",
        }
    )
    asked = [("hr", "JDBC", "x"), ("hr", "VDP", "x"), ("sales_us", "VDP", "x"), ("sales_eu", "VDP", "y")]
    assert [site.value_for(*each, "uri") for each in [*asked, ("sales_eu", "VDP", "x")]] == list("12345")


def test_two_equally_specific_names_that_disagree_are_an_error_when_both_fit() -> None:
    site = SiteProperties({"a*.dataSource.VDP.x.uri": "1", "*b.dataSource.VDP.x.uri": "2"})
    assert site.value_for("ac", "VDP", "x", "uri") == "1"
    with pytest.raises(PropertiesError, match=r'"\*b\.\S+" and "a\*\.\S+" fit the data source ab / x equally well'):
        site.value_for("ab", "VDP", "x", "uri")


def test_names_that_fit_nothing_are_told() -> None:
    site = SiteProperties({URI: B, "hr.dataSource.VDP.*.connectionURI": B})
    shown = {"projectName": "Default", "type": "VDP", "name": "VDP", "connectionURI": "x"}
    assert site.unmatched([shown]) == ["hr.dataSource.VDP.*.connectionURI"]


# --- addresses


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("//denodo-a.example.com:9999/admin", True),
        ("//DENODO-A.example.com/admin", True),
        ("jdbc:postgresql://dwh,denodo-a.example.com:5432/sales", True),
        ("jdbc:oracle:thin:@denodo-a.example.com:1521:orcl", True),
        ("jdbc:sqlserver://denodo-a.example.com\\inst:1433;db=x", True),
        ("jdbc:oracle:thin:@(ADDRESS=(HOST=denodo-a.example.com)(PORT=1521))", True),
        ("denodo-a.example.com", True),
        ("//denodo-a.example.com.au:9999/admin", False),
        ("//my-denodo-a.example.com:9999/admin", False),
        ("//dwh:9999/denodo-a.example.com", False),
        ("//localhost:9999/admin", False),
    ],
)
def test_data_sources_that_point_to_the_other_servers_machine(address: str, named: bool) -> None:
    shown = {"projectName": "p", "name": "vdp", "connectionURI": address, "login": "denodo-a.example.com"}
    found = unreachable_hosts([shown], "denodo-a.example.com")
    assert found == (["p / vdp (denodo-a.example.com)"] if named else [])


# --- rewriting


def test_only_the_value_changes() -> None:
    new = rewrite_element(VDP.encode(), "Default", SiteProperties({URI: "//b?<&>"})).decode()
    old = "//vdp-a:9999/admin?a=1&amp;b=&lt;2&gt;"
    assert new == VDP.replace(old, "//b?&lt;&amp;&gt;")
    before, after = parse("p", VDP.encode()).params, parse("p", new.encode()).params
    assert after == before | {"connectionURI": "//b?<&>"}


@pytest.mark.parametrize(
    "xml",
    [
        source(simple("connectionURI", B), simple("name", "vdp")),
        source(simple("name", "vdp"), simple("login", "x")),
        source(simple("name", "other"), simple("connectionURI", "x")),
        source(simple("name", "vdp"), simple("connectionURI", "x"), sub_type="JDBC"),
        source(simple("name", "vdp"), simple("connectionURI", "x"), kind="job"),
    ],
    ids=["the value already", "no such parameter", "another name", "another type", "a job"],
)
def test_what_no_property_concerns_stays_byte_by_byte(xml: str) -> None:
    assert rewrite_element(xml.encode(), "default", SiteProperties({URI: B})) == xml.encode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<simple-param name="connectionURI"><value/></simple-param>', f"<value>{B}</value>"),
        ('<simple-param name="connectionURI"><value></value></simple-param>', f"<value>{B}</value>"),
        (
            "<simple-param  name='connectionURI' >\n <value >x<!-- y -->\n</value>\n</simple-param>",
            f"<value >{B}</value>",
        ),
        ('<simple-param name="connectionURI"><value><![CDATA[<x>]]></value></simple-param>', f"<value>{B}</value>"),
    ],
    ids=["empty", "empty pair", "layout", "cdata"],
)
def test_odd_layouts(old: str, new: str) -> None:
    xml = source(old, simple("name", "vdp"))
    written = rewrite_element(xml.encode(), "default", SiteProperties({URI: B})).decode()
    assert new in written
    assert parse("p", written.encode()).params == {"connectionURI": B, "name": "vdp"}
    at = xml.index("<value")
    assert written.startswith(xml[:at])
    assert written.endswith(xml[xml.index("</simple-param>") :])


def test_another_encoding() -> None:
    head = HEAD.replace("UTF-8", "ISO-8859-1")
    xml = source(simple("name", "vdp"), simple("description", "Süd"), simple("connectionURI", "x"), head=head)
    new = rewrite_element(xml.encode("latin-1"), "default", SiteProperties({URI: "ü€"}))
    assert new == xml.replace(">x<", ">ü&#8364;<").encode("latin-1")
    with pytest.raises(ElementError, match="in which no property can be replaced"):
        rewrite_element(
            source(simple("name", "vdp"), simple("connectionURI", "x"), head="").encode("utf-16"),
            "default",
            SiteProperties({URI: B}),
        )


@pytest.mark.parametrize(
    ("xml", "error", "message"),
    [
        (
            source(simple("name", "vdp"), simple("connectionURI", "x", ' encrypted="true"')),
            PropertiesError,
            "is a secret",
        ),
        (source(simple("name", "vdp"), simple("connectionURI", "x</value><value>y")), ElementError, "has 2 values"),
        (source(simple("name", "vdp"))[:-9], ElementError, "broken"),
        (source(simple("name", "&x;"), head='<!DOCTYPE config [<!ENTITY x "vdp">]>'), ElementError, "entities"),
    ],
)
def test_what_cannot_be_rewritten_is_refused(xml: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rewrite_element(xml.encode(), "default", SiteProperties({URI: B}))


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), max_size=20
)


@given(values=st.lists(TEXT, min_size=3, max_size=3), new=TEXT.filter(bool), at=st.integers(0, 2))
def test_rewriting_changes_that_value_only(values: list[str], new: str, at: int) -> None:
    xml = ElementTree.fromstring(  # noqa: S314
        source(simple("name", "vdp"), *(simple(f"p{number}", "") for number in range(3)))
    )
    for number, value in enumerate(values):
        xml.findall(".//value")[number + 1].text = value
    before = ElementTree.tostring(xml, encoding="utf-8")
    after = rewrite_element(before, "default", SiteProperties({f"default.dataSource.VDP.vdp.p{at}": new}))
    found = [value.text or "" for value in ElementTree.fromstring(after).findall(".//value")]  # noqa: S314
    assert found == ["vdp", *(new if number == at else value for number, value in enumerate(values))]
    for each in (before, after):
        parser = ElementParser()
        parser.feed(each)
        parser.close()
        assert parser.name == "vdp"


# --- the option


def load(folder: Path, text: str) -> Pair:
    file = folder / "pairs.yaml"
    file.write_text(text, encoding="utf-8")
    return load_pairs(file)["a"]


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(PairsError) as caught:
        load(folder, text)
    return [line.removeprefix(f"{folder / 'pairs.yaml'}:") for line in str(caught.value).splitlines()[1:]]


def test_the_option_is_read_for_each_server(tmp_path: Path) -> None:
    pair = load(
        tmp_path,
        f"""
defaults: {{properties: {{master: {{"*.dataSource.VDP.*.uri": a}}, slave: {{"*.dataSource.VDP.*.uri": b}}}}}}
pairs:
  a:
    properties:
      master: {{ {URI}: //vdp-a:9999/admin }}
      slave: {{ {URI}: {B} }}
""",
    )
    assert pair.properties == PropertiesOptions(
        master={"*.dataSource.VDP.*.uri": "a", URI: "//vdp-a:9999/admin"}, slave={"*.dataSource.VDP.*.uri": "b", URI: B}
    )
    assert pair.properties_of(Role.SLAVE).value_for("default", "VDP", "vdp", "connectionURI") == B
    assert pair.properties_of(Role.MASTER).value_for("x", "VDP", "vdp", "uri") == "a"
    assert not load(tmp_path, "pairs: {a: {}}").properties_of(Role.MASTER)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("default.VDP.vdp.connectionURI", "x", "must be <project>.dataSource.<type>.<name>.<parameter>, such as"),
        (
            "default.dataSource.VDP.connectionURI",
            "x",
            "must be <project>.dataSource.<type>.<name>.<parameter>, such as",
        ),
        ("default.dataSource.VDP.*", "x", "must be <project>.dataSource.<type>.<name>.<parameter>, such as"),
        ("default.dataSource..vdp.uri", "x", "must be <project>.dataSource.<type>.<name>.<parameter>, such as"),
        ("default.dataSource.VDP.vdp.*", "x", "must name its parameter, after the last dot, in full"),
        ("default.dataSource.VDP.vdp.password", "x", "must not be a secret: this file is no place for one"),
        ("default.dataSource.VDP.vdp.sslKeyStorePwd", "x", "must not be a secret"),
        (URI, "//${host}:9999/admin", "must not hold ${…}, which nothing would replace"),
        (URI, '"a\\nb"', "must be one line without control characters"),
        (URI, "5", "must be text, not 5"),
        (URI, '""', "must not be empty"),
    ],
)
def test_a_mistake_names_its_line_and_never_its_value_of_a_secret(
    tmp_path: Path, name: str, value: str, message: str
) -> None:
    text = (
        f'pairs:\n  a:\n    properties:\n      master:\n        "{name}": ok\n      slave:\n        "{name}": {value}\n'
    )
    found = mistakes(tmp_path, text)
    assert found[-1].startswith(f"7: pairs.a.properties.slave.{name}: {message}")
    assert all(f"properties.master.{name}: {message}" in each for each in found[:-1])


def test_mistakes_of_two_names(tmp_path: Path) -> None:
    text = """\
pairs:
  a:
    properties:
      master:
        "*.dataSource.VDP.x.uri": "1"
        "p.dataSource.VDP.*.uri": "2"
        "*.dataSource.VDP.*.uri": "3"
      slave:
        "*.dataSource.VDP.x.uri": "1"
        "*.dataSource.JDBC.*.url": "2"
"""
    found = mistakes(tmp_path, text)
    assert [line.partition(": ")[0] for line in found] == ["6", "7", "10"]
    assert 'is as specific as "*.dataSource.VDP.x.uri", fits the same data sources and says another value' in found[0]
    assert "has no counterpart under slave: a sync in the other direction would carry this value there" in found[1]
    assert "has no counterpart under master" in found[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "properties: 5",
            "pairs.a.properties: must be a mapping of master and slave, each with names and values, not 5",
        ),
        ("properties: {master: []}", "pairs.a.properties.master: must be a mapping of keys to values, not a list"),
        (
            "properties: {salve: {}}",
            'pairs.a.properties.salve: is not an option; did you mean "slave"? Allowed: master, slave',
        ),
    ],
)
def test_another_shape(tmp_path: Path, options: str, message: str) -> None:
    (found,) = mistakes(tmp_path, f"pairs:\n  a:\n    {options}\n")
    assert found == f"3: {message}"
