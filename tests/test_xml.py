"""XML: bytes that no rule names stay, nothing is read beside them, and whatever else comes is refused in bounded memory."""

from __future__ import annotations

import random
import socket
import tracemalloc
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from lxml import etree

from fw_gear_deid.deid import document
from fw_gear_deid.formats.xml import FORMAT
from fw_gear_deid.model import limits
from fw_gear_deid.model.action import At
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.profile.compiled import FieldSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError

SHARED = Path(__file__).parents[2] / "shared" / "corpus"
AT = At("UT", lambda purpose: 0, date(2026, 1, 1), lambda name: "")
X = {"replace-with": "X"}
REMOVE = {"remove": True}


def section(*fields: tuple[str, dict[str, Any]]) -> FieldSection:
    options = {"fields": [{"name": name, **action} for name, action in fields]}
    (found,) = (one for one in parse_profile(yaml.safe_dump({"xml": options}), "p.yaml").sections)
    assert isinstance(found, FieldSection)
    return found


def run(data: bytes, rules: FieldSection) -> bytes:
    """Return the result, checked."""
    edited = document.edit(data, rules, AT)
    result = document.written(data, edited)
    document.check(data, result, edited)
    assert FORMAT.codec is not None
    list(FORMAT.codec.beside(result, {}))
    FORMAT.codec.risks(result, {})
    return result


DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>\r
<!-- one -->
<?app user="x"?>
<!DOCTYPE study [<!ENTITY nm "ZK"><!ENTITY n2 "&nm;&nm;">]>
<study xmlns="urn:x" xmlns:p="urn:p" p:patient="ZT" id='9 "5"'>
 <Patient a="1"><Name>ZF &amp; <!--q--> b</Name><p:BirthDate>19120204</p:BirthDate><Phone type="home"/></Patient>
 <Note><![CDATA[seen <Dr> ]]> tail é &n2; &#x41;</Note><?pi data?>
 <Item><PersonName>x<FamilyName>ZTD</FamilyName> y</PersonName>t</Item>
</study><!--end-->
""".encode()
RULES = (
    section(
        ("//*[local-name()='Name']", {"hash": True}), ("//*[local-name()='Phone']/@type", X), ("//comment()", REMOVE)
    ),
    section(("//*[local-name()='PersonName']", X), ("//@*", REMOVE), ("//processing-instruction()", REMOVE)),
    section(("//*[local-name()='Patient']", REMOVE), ("//p:BirthDate", X), ("//*[local-name()='Phone']", X)),
)


# -- every document ------------------------------------------------------------------------------------


def made(rng: random.Random) -> bytes:
    """Return a document by chance, spelled in many ways."""
    pieces = [rng.choice(["", "<?xml version='1.0'?>", "<?xml version='1.0' ?>\r\n"]), rng.choice(["", "<!--c-->\n"])]

    def text() -> str:
        return rng.choice(
            ["", "", "x", " \r\n ", "a&amp;b", "&#233;é", "<![CDATA[<q>&]]>", "<!--k-->", "<?i d?>", "]", ">"]
        )

    def element(depth: int) -> None:
        tag = rng.choice(["a", "b", "c", "p:a"])
        names = rng.sample(["i", "j", "p:i", "long.name-1"], rng.randrange(3))
        pieces.append(f"<{tag}" + (" xmlns:p='urn:u'" if depth == 0 else ""))
        for name in names:
            quote = rng.choice("'\"")
            value = rng.choice(["", "v", "&lt;1", "a\n\tb", "'" if quote == '"' else '"', ">"])
            pieces.append(
                f"{rng.choice([' ', '  ', chr(10), chr(9) + ' '])}{name}{rng.choice(['=', ' = '])}{quote}{value}{quote}"
            )
        if rng.random() < 0.2 and depth:
            pieces.append(rng.choice(["/>", " />"]))
            return
        pieces.append(rng.choice([">", " >"]))
        for _ in range(rng.randrange(4) if depth < 4 else 0):
            pieces.append(text())
            element(depth + 1)
        pieces.extend((text(), text(), f"</{tag}{rng.choice(['', ' '])}>"))

    element(0)
    pieces.append(rng.choice(["", "\n", "<!--z-->", "<?z?>\r\n"]))
    return "".join(pieces).encode()


PATHS = ("//a", "//b", "//p:a", "//a/b", "//c[1]", "//@i", "//b/@*", "//@p:i", "//comment()", "//processing-instruction()", "//a[@i]", "./b", "/*/c")  # fmt: skip


def expected(data: bytes, path: str, *, removed: bool) -> bytes | None:
    """Return what lxml makes of a document; None where it cannot be done."""
    root = etree.fromstring(data)
    for one in root.xpath(path, namespaces={"p": "urn:u"}):
        if isinstance(one, str):
            parent = one.getparent()  # type: ignore[attr-defined]
            if removed:
                del parent.attrib[one.attrname]  # type: ignore[attr-defined]
            else:
                parent.set(one.attrname, "X")  # type: ignore[attr-defined]
        elif removed:
            parent, before, tail = one.getparent(), one.getprevious(), one.tail
            if one is root:
                return None
            if parent is None:  # beside the root
                continue
            if before is not None:
                before.tail = (before.tail or "") + (tail or "")
            else:
                parent.text = (parent.text or "") + (tail or "")
            one.tail = None
            parent.remove(one)
        else:
            for child in list(one):
                one.remove(child)
            one.text = "X"
    return etree.tostring(root, method="c14n")


@pytest.mark.parametrize("seed", range(40))
def test_a_rule_does_what_the_library_would_do(seed: int) -> None:
    rng = random.Random(seed)
    done = 0
    for _ in range(25):
        data, path, removed = made(rng), rng.choice(PATHS), rng.random() < 0.5
        want = expected(data, path, removed=removed)
        rules = section((path, REMOVE if removed else X))
        if want is None:
            with pytest.raises(Unfit, match="root"):
                run(data, rules)
            continue
        assert etree.tostring(etree.fromstring(run(data, rules)), method="c14n") == want
        done += 1
    assert done > 15


@pytest.mark.parametrize("seed", range(20))
def test_what_stays_has_its_bytes(seed: int) -> None:
    """Nothing is written anew: with what the rule named put back, or its place cut out, all is as it was."""
    rng = random.Random(1000 + seed)
    for _ in range(20):
        data = made(rng)
        assert run(data, section(("//a | //@* | //comment()", {"keep": True}))) == data
        words = [word for word in (b"v", b"x") if data.count(word) == 1]
        for word in words:
            result = run(data, section((f"//@*[.='{word.decode()}']", X), (f"//*[not(*) and .='{word.decode()}']", X)))
            assert result.replace(b"X", word) == data


@pytest.mark.parametrize("number", range(len(RULES)))
def test_cut_anywhere_and_changed_at_any_byte(number: int) -> None:
    rng = random.Random(number)
    put_in = [
        b"<",
        b">",
        b"&",
        b"<!--",
        b"-->",
        b"<![CDATA[",
        b"]]>",
        b"<?",
        b"&nm;",
        b"&#0;",
        b"\0",
        b"\xff",
        b"[",
        b"/>",
        b"\r",
    ]
    variants = [DOCUMENT[:at] for at in range(0, len(DOCUMENT), 3)]
    for _ in range(700):
        data, at = bytearray(DOCUMENT), rng.randrange(len(DOCUMENT))
        match rng.randrange(3):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, 8)]
            case _:
                data[at:at] = rng.choice(put_in)
        variants.append(bytes(data))
    released = 0
    for one in variants:
        try:
            result = run(one, RULES[number])
        except Unfit:
            continue
        released += 1
        assert etree.fromstring(result) is not None
    assert released > 50


# -- encodings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "letters"),
    [
        ("utf-8", "é山𝄞"), ("iso-8859-1", "é\x85"), ("windows-1252", "é€"), ("koi8-r", "Ж"), ("iso-8859-5", "Ж"), ("us-ascii", "e"),
        ("shift_jis", "山ソ"), ("euc-jp", "山"), ("gb18030", "山é"), ("gbk", "山"), ("big5", "山"), ("euc-kr", "가"), ("utf-16", "é山𝄞"),
    ],
)  # fmt: skip
def test_encodings(codec: str, letters: str) -> None:
    def written(name: str) -> bytes:
        return (
            f"<?xml version='1.0' encoding='{codec}'?><r a='{letters}'>{letters}<n>{name}</n>{letters}<n/></r>".encode(
                codec
            )
        )

    rules = section(("//n[text()]", {"replace-with": letters}))
    assert run(written(letters * 2), rules) == written(letters)


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf<?xml version='1.0' encoding='iso-8859-1'?><r/>",
        "\ufeff<?xml version='1.0' encoding='utf-8'?><r/>".encode("utf-16-le"),
        "<r/>".encode("utf-32"),
        b"<?xml version='1.0' encoding='utf-7'?><r/>",
        b"<?xml version='1.0' encoding='cp037'?><r/>",
        b"<?xml version='1.0' encoding='idna'?><r/>",
        b"<?xml version='1.0' encoding='base64'?><r/>",
        b"<?xml version='1.0' encoding=utf-8?><r/>",
    ],
)
def test_encodings_that_are_refused(data: bytes) -> None:
    with pytest.raises(Unfit, match=r"encoding|UTF-32|second reader"):
        run(data, section(("//n", REMOVE)))


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("blank", " \t\r\n")
def test_content_tells(codec: str, blank: str) -> None:
    assert FORMAT.sniff(f"<?xml{blank}version='1.0'?>".encode(codec))
    assert not FORMAT.sniff(f"<?xml-stylesheet{blank}?>".encode(codec))


# -- hostile -------------------------------------------------------------------------------------------

DOCTYPES = {
    "laughs": '<!ENTITY a0 "ZZBOMB">' + "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)),
    "long": f'<!ENTITY a9 "{"x" * 100_000}">',
    "itself": '<!ENTITY a9 "&a9;">',
    "chain": "".join(f'<!ENTITY a{i} "&a{i + 1};">' for i in range(9, 9000)) + '<!ENTITY a9000 "&a9;">',
}
HOSTILE = {
    **{name: f"<!DOCTYPE r [{subset}]><r>{'&a9;' * 1000}</r>".encode() for name, subset in DOCTYPES.items()},
    "deep": b"<r>" + b"<a>" * 100_000 + b"x" + b"</a>" * 100_000 + b"</r>",
    "deep-and-cut": b"<a>" * 100_000,
    "many-quotes": b"<r a='" + b"'a='" * 100_000,
    "no-end-of-a-tag": b"<r" + b" a='1'" * 100_000,
    "no-end-of-a-declaration": b"<!DOCTYPE r [<!ENTITY a " + b"x " * 200_000,
    "no-end-of-a-comment": b"<r><!--" + b"-" * 500_000,
    "many-ampersands": b"<r>" + b"&a" * 200_000 + b"</r>",
    "many-ends": b"<r>" + b"]]>" * 100_000 + b"</r>",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_are_refused_in_little_memory(name: str) -> None:
    rules = section(("//n", REMOVE))
    tracemalloc.start()
    try:
        with pytest.raises(Unfit) as caught:
            run(HOSTILE[name], rules)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
    assert "ZZBOMB" not in str(caught.value)


def test_many_elements_far_down_are_refused_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fw_gear_deid.formats.xml.scan._SPELLED", 2_000_000)
    deep = b"".join(b"<%s%d>" % (b"e" * 100, number) for number in range(400))
    tracemalloc.start()
    try:
        with pytest.raises(Unfit, match="places cannot be told"):
            run(deep + b"<a/>" * 1000, section(("//n", REMOVE)))
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_a_comment_goes_though_the_text_stays() -> None:
    assert run(b"<r><a>X<!-- DOE --></a></r>", section(("//a", X))) == b"<r><a>X</a></r>"
    assert run(b"<r><a>X<b>DOE</b></a></r>", section(("//a", X))) == b"<r><a>X</a></r>"
    assert run(b"<r><a>X<!-- DOE --></a></r>", section(("//a", {"keep": True}))) == b"<r><a>X<!-- DOE --></a></r>"


def test_too_many_elements() -> None:
    data = b"<r>" + b"<a/>" * 9000 + b"</r>"
    assert run(data, section(("//n", REMOVE))) == data
    with limits.within({"values": 8000}, 0), pytest.raises(Unfit, match="limit 'values', 8000 here"):
        run(data, section(("//n", REMOVE)))


def test_long_texts_are_read(tmp_path: Path) -> None:
    """As base64 in a surface file is: longer than the library reads where a document could be a bomb."""
    data = (
        b'<!DOCTYPE G SYSTEM "http://example.invalid/g.dtd"><G><n>DOE</n><Data>' + b"QUJD" * 3_000_000 + b"</Data></G>"
    )
    assert run(data, section(("//n", REMOVE))) == data.replace(b"<n>DOE</n>", b"")


def test_nothing_is_read_but_the_document(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("ZZSECRET")
    (tmp_path / "own.dtd").write_text('<!ENTITY x "ZZSECRET">')
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        web = f"http://127.0.0.1:{server.getsockname()[1]}/r.dtd"
        for subset in (
            f'r [<!ENTITY x SYSTEM "{secret.as_uri()}">]',
            f'r SYSTEM "{web}" [<!ENTITY x SYSTEM "{web}">]',
            f'r PUBLIC "-//X" "{(tmp_path / "own.dtd").as_uri()}" [<!ENTITY x SYSTEM "{secret}">]',
        ):
            data = f"<?xml version='1.0'?><!DOCTYPE {subset}><r><n>DOE</n>&x;</r>".encode()
            assert run(data, section(("//n", REMOVE))) == data.replace(b"<n>DOE</n>", b"")
        with pytest.raises(TimeoutError):
            server.accept()


# -- the check, and what stands beside -----------------------------------------------------------------

WHOLE = b"<r><p>seen <who>DOE</who> today</p><q k='1'>2</q><!--c--></r>"
TAMPERED = {
    "the-text-behind": b"<r><p>seen </p><q k='1'>2</q><!--c--></r>",
    "stays": WHOLE,
    "another-attribute": b"<r><p>seen  today</p><q k='2'>2</q><!--c--></r>",
    "no-attribute": b"<r><p>seen  today</p><q>2</q><!--c--></r>",
    "another-comment": b"<r><p>seen  today</p><q k='1'>2</q><!--d--></r>",
    "moved": b"<r><p>seen  today<q k='1'>2</q></p><!--c--></r>",
    "more": b"<r><p>seen  today</p><q k='1'>2</q><!--c--><s/></r>",
    "cut": b"<r><p>seen  today</p><q k='1'>2</q><!--c-->",
}


@pytest.mark.parametrize("name", TAMPERED)
def test_the_check_finds_what_is_wrong(name: str) -> None:
    edited = document.edit(WHOLE, section(("//who", REMOVE)), AT)
    document.check(WHOLE, document.written(WHOLE, edited), edited)
    with pytest.raises(Unfit):
        document.check(WHOLE, TAMPERED[name], edited)


def test_what_stands_beside() -> None:
    assert FORMAT.codec is not None
    data = b"<?a b?><!DOCTYPE r [<!ENTITY x 'D&#79;E'>]><r xmlns='urn:z'><!--c--><b>t</b></r><!--d-->"
    assert list(FORMAT.codec.beside(data, {})) == [
        ("the DOCTYPE", b"<!DOCTYPE r [<!ENTITY x 'D&#79;E'>]>"), ("the DOCTYPE", b"<!DOCTYPE r [<!ENTITY x 'DOE'>]>"),
        ("an instruction", b"b"), ("a comment", b"c"), ("a comment", b"d"), ("a namespace", b"urn:z"),
    ]  # fmt: skip
    assert FORMAT.codec.risks(data, {}) == ["comments", "processing instructions", "entities of the DOCTYPE"]
    assert FORMAT.codec.risks(b"<?xml-stylesheet href='a'?><r/>", {}) == []


# -- the profile ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("name", "begins with '/' or './'"),
        ("//a[", "not an XPath"),
        ("//", "not an XPath"),
        ("//a[count(b)", "not an XPath"),
        ("/a/b + 1", "points at no elements or attributes"),
        ("//a[f()]", "not an XPath"),
        ("//a/text()", "name the element that it is in"),
        ("//a/text( ) ", "name the element that it is in"),
    ],
)
def test_names_that_are_wrong(name: str, told: str) -> None:
    with pytest.raises(ProfileError, match=told.replace("(", r"\(")):
        section((name, REMOVE))


@pytest.mark.parametrize(
    "name",
    ["//a", "/r/p:a/@p:b", "./a", "//a[text()='x']", "//*[local-name()='a' and contains(., ':b')]", "//a | //b/@c"],
)
def test_names_that_are_right(name: str) -> None:
    section((name, REMOVE))


def test_no_regex() -> None:
    with pytest.raises(ProfileError, match="go by name"):
        parse_profile("xml: {fields: [{regex: '.*', remove: true}]}", "p.yaml")


def test_comments_stay_with_a_warning() -> None:
    for name, warned in (("//a", True), ("//comment()", False)):
        profile = parse_profile(yaml.safe_dump({"xml": {"fields": [{"name": name, "remove": True}]}}), "p.yaml")
        assert any("comments may say anything" in one.message for one in profile.warnings) == warned


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared/corpus is not beside this checkout")
def test_real_documents_that_nothing_is_asked_of_stay() -> None:
    rules = section(("//*", {"keep": True}), ("//@*", {"keep": True}))
    files = [
        *(SHARED / "nondicom").rglob("*.xml"),
        *(SHARED / "nondicom").rglob("*.gii"),
        *(SHARED / "planted").rglob("*.xml"),
    ]
    assert len(files) >= 5
    for path in files:
        assert run(path.read_bytes(), rules) == path.read_bytes()
