import pytest

from recmesh_kit.errors import InvalidArgument
from recmesh_kit.filters.parser import MAX_DEPTH, MAX_LENGTH, parse
from recmesh_kit.filters.tree import And, Bare, Literal, Not, Or, Restriction, Syntax


def shown(tree: Syntax | None) -> str:
    """A tree with all its parentheses: `(a & (b | !c))`. A text stands in angle brackets, a wildcard outside."""
    match tree:
        case None:
            return ""
        case And(parts):
            return f"({' & '.join(shown(part) for part in parts)})"
        case Or(parts):
            return f"({' | '.join(shown(part) for part in parts)})"
        case Not(part):
            return f"!{shown(part)}"
        case Bare(value):
            return literal(value)
        case Restriction(path, operator, value):
            return f"{'/'.join(path)} {operator} {literal(value)}"


def literal(value: Literal) -> str:
    return f"{'*' * value.open_start}<{value.text}>{'*' * value.open_end}"


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", ""),
        (" \n\t", ""),
        # What stands alone
        ("a", "<a>"),
        ('"New York"', "<New York>"),
        ("2.5", "<2.5>"),
        ("*", "<>*"),
        # Comparators
        ("a=1", "a = <1>"),
        ("a != 1", "a != <1>"),
        ("a < 1", "a < <1>"),
        ("a<=1", "a <= <1>"),
        ("a > 1", "a > <1>"),
        ("a >=1", "a >= <1>"),
        ("a:1", "a : <1>"),
        ("a\n:\n1", "a : <1>"),
        # Values
        ("a = -1.5e3", "a = <-1.5e3>"),
        ("a = 2024-01-31T12:00:00+01:00", "a = <2024-01-31T12:00:00+01:00>"),
        ("a:sci-fi", "a : <sci-fi>"),
        ("a:Airplane!", "a : <Airplane!>"),
        ("a:ANDROID", "a : <ANDROID>"),
        ("a = 'x'", "a = <x>"),
        ('a = "AND"', "a = <AND>"),
        ('a = "(b) OR c"', "a = <(b) OR c>"),
        (r'a = "say \"hi\" \\ now"', r'a = <say "hi" \ now>'),
        ('a = "it\'s"', "a = <it's>"),
        ('a = ""', "a = <>"),
        ("a = сталкер", "a = <сталкер>"),
        # Wildcards
        ("a = x*", "a = <x>*"),
        ('a = "*x"', "a = *<x>"),
        ("a = *x*", "a = *<x>*"),
        ("a:*", "a : <>*"),
        ('a = "x*y"', "a = <x*y>"),
        (r'a = "\*x\*"', "a = <*x*>"),
        (r'a = "x\\*"', "a = <x\\>*"),
        # Paths
        ("labels.key = x", "labels/key = <x>"),
        ("labels.my-key:x", "labels/my-key : <x>"),
        ('labels."a.b" = x', "labels/a.b = <x>"),
        ("labels.OR = x", "labels/OR = <x>"),
        ("a.b.c = x", "a/b/c = <x>"),
        # AND, OR, NOT
        ("a AND b AND c", "(<a> & <b> & <c>)"),
        ("a b c", "(<a> & <b> & <c>)"),
        ("a OR b OR c", "(<a> | <b> | <c>)"),
        ("NOT a", "!<a>"),
        ("-a", "!<a>"),
        ("-a:b", "!a : <b>"),
        ("NOT (a OR b)", "!(<a> | <b>)"),
        ("-(a)", "!<a>"),
        ("a -b", "(<a> & !<b>)"),
        ("a-b", "<a-b>"),
        ("nota", "<nota>"),
        ("and or not", "(<and> & <or> & <not>)"),
        # OR binds tighter than AND, NOT tighter than OR
        ("a AND b OR c", "(<a> & (<b> | <c>))"),
        ("a OR b AND c OR d", "((<a> | <b>) & (<c> | <d>))"),
        ("a b OR c d", "(<a> & (<b> | <c>) & <d>)"),
        ("New York Giants OR Yankees", "(<New> & <York> & (<Giants> | <Yankees>))"),
        ("NOT a OR b", "(!<a> | <b>)"),
        ("a b AND c AND d", "(<a> & <b> & <c> & <d>)"),
        ("(a AND b) OR c", "((<a> & <b>) | <c>)"),
        ("((a))", "<a>"),
        # Several values
        ('a:("x" OR "y")', "(a : <x> | a : <y>)"),
        ("a = (1 2 OR -3)", "(a = <1> & (a = <2> | a = <-3>))"),
        ('a:(x -"y" NOT z)', "(a : <x> & !a : <y> & !a : <z>)"),
        ("a:(x (y OR z)) b", "(a : <x> & (a : <y> | a : <z>) & <b>)"),
    ],
)
def test_tree(text: str, tree: str) -> None:
    assert shown(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("a =", 4, "ends where a value"),
        ("a = AND b", 5, "a value is missing"),
        ("a == b", 4, "'=' stands where a value"),
        ("a = b = c", 7, "'=' stands where"),
        ("= b", 1, "'=' stands where a field or a value"),
        ("a AND", 6, "ends where a field or a value"),
        ("AND a", 1, "'AND' stands where a field or a value"),
        ("a OR OR b", 6, "'OR' stands where"),
        ("NOT", 4, "ends where a field or a value"),
        ("(a", 3, r"ends where '\)'"),
        ("a)", 2, r"'\)' stands where AND, OR or the end"),
        ("()", 2, r"'\)' stands where a field or a value"),
        ("a:()", 4, r"'\)' stands where a value"),
        ("a:(b = c)", 6, "'=' stands where"),
        ("a < (b OR c)", 3, "= and : only"),
        ('a = "b', 5, "quote is not closed"),
        ("don't", 4, "quote is not closed"),
        ("a:b,c", 4, "',' is unexpected"),
        ("a ! b", 3, "'!' stands where AND, OR or the end"),
        ("a. = b", 4, "'=' stands where a field"),
        ('a\n AND\n b:"', 11, "quote"),
        ("f(x)", 1, "no function 'f'"),
        ("a b.f(x)", 3, "no function 'b.f'"),
        ("a = now()", 5, "no function 'now'"),
        ("a:(b OR f(x))", 9, "no function 'f'"),
        ('"a".b', 1, "without a comparison"),
    ],
)
def test_what_is_wrong_and_where(text: str, column: int, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said) as caught:
        parse(text)
    assert caught.value.metadata == {"column": str(column)}
    assert [v.field for v in caught.value.violations] == ["filter"]


def test_length_is_bounded() -> None:
    assert parse("a" * MAX_LENGTH)
    with pytest.raises(InvalidArgument, match="4,097 characters"):
        parse("a" * (MAX_LENGTH + 1))


def test_depth_is_bounded() -> None:
    deepest = "NOT (" * MAX_DEPTH + "a" + ")" * MAX_DEPTH
    assert shown(parse(deepest)) == "!" * MAX_DEPTH + "<a>"
    for opening in ("(", "NOT (", "a:(", '"(" ('):
        with pytest.raises(InvalidArgument, match="20 deep") as caught:
            parse(opening * 700)
        assert caught.value.metadata == {"column": str(len(opening) * (MAX_DEPTH + 1))}


def test_parentheses_in_quotes_do_not_count() -> None:
    assert parse('a = "' + "(" * 100 + '"')
