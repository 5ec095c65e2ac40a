from __future__ import annotations
import pytest
from hypothesis import given, settings, strategies as st
from fw_gear_deid.formats.dicom import part10 as codec
from tests import oracle, strategies
from tests.dicom_files import SYNTAXES, file_meta, meta_of, part10, sample

@pytest.mark.parametrize("name", SYNTAXES)
@settings(strategies.PROFILE, max_examples=2500)
@given(data=st.data())
def test_no_edits(name, data):
    syntax = SYNTAXES[name]
    nodes = data.draw(strategies.documents(syntax, shuffled=True))
    src = part10(nodes, syntax)
    assert oracle.unedited(src) == src
    draft = codec.read(src)
    assert draft.src is src

@pytest.mark.parametrize("name", SYNTAXES)
@settings(strategies.PROFILE, max_examples=2500)
@given(data=st.data())
def test_edits(name, data):
    syntax = SYNTAXES[name]
    nodes = data.draw(strategies.documents(syntax))
    changes = data.draw(strategies.changes(nodes, syntax))
    src = part10(nodes, syntax)
    draft = codec.read(src)
    assert draft.src is src
    oracle.apply(draft, changes)
    got = oracle.written(draft)
    want = nodes
    for c in changes: want = oracle.after(want, c, syntax)
    assert got == part10(want, syntax)
    codec.check_readable(got)
    if syntax.little or not strategies.has_un_sequence(nodes):
        assert oracle.differences(oracle.changed(src, changes), got) == []
