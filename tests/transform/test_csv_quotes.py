from __future__ import annotations

import io

import pytest

from transform.csv_quotes import QuoteCheck

LOST = "one that the file doesn't close"
PAIR = "one of several lines with text behind its quotes"


def problem(text, size):
    """What is found wherever blocks end."""
    check = QuoteCheck(io.BytesIO(text.encode()))
    content = b""
    while block := check.read(size):
        content += block
    assert content == text.encode()
    return check.problem


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b",
        "a,b\n1,2\n",
        'a,b\n1,"x"\n"y",2',
        'a,b\n1,"two\nlines"\n2,"and\r\n,""more"""\r\n',
        'a,b\n1,6" pizza\n2,x\n',
        'a,b\n1,"6" pizza\n2,"8" "pizza\n3,x\n',
        'a,b\r1,"two\rlines"\r2,""\r',
        'a,b\n1, "x\n2,y"\n3,"z"\n',
        'a,b\n"C:\\","D:\\"\n"\\n ""x\\""",6\\" pizza\n',
    ],
)
def test_what_every_parser_reads_alike(text, size):
    assert problem(text, size) is None


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('a,b\n1,x\n2,"6 inch\n3,x\n4,y\n', LOST),
        ('a,b\n1,"x\ny"\n"2,6 inch\n3,x\n4,y', LOST),
        ('a,b\n1,x\n2,"6 inch""\n3,x\n4,y\n', LOST),
        ('a,b\r\n1,x\r\n2,"6 inch\r\n3,x\r\n4,"8 inch\r\n5,y\r\n', PAIR),
        ('a,b\n1,x\n2,"6 inch\n3,x\n4,8" pizza\n5,y\n6,"\n', PAIR),
    ],
)
def test_a_quote_that_takes_other_rows(text, what, size):
    found = problem(text, size)
    assert f"found {what}, in line" in found


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_line_is_told(size):
    text = 'a,b\n1,"two\nlines"\n2,x\n3,"6 inch\n4,y\n'
    assert problem(text, size) == (
        f"expected every quoted cell closed, found {LOST}, in line 5: '\"6 inch';"
        " close it, or write a quote within a cell twice, and the cell in quotes"
    )


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "cell", [r'"Montres \"or\" femme"', r'"\"or\", femme"', '"two\nlines \\"or"']
)
def test_quotes_that_backslashes_escape(cell, size):
    found = problem(f'a,b\n1,"C:\\"\n2,{cell}\n3,x\n', size)
    assert found.startswith(
        "expected quotes within a cell written twice, found them behind a backslash, in"
        " line 3: "
    )
    assert found.endswith("; write them twice")
