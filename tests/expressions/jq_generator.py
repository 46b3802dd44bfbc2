"""Random jq programs, most of them right."""

from __future__ import annotations

from random import Random

GRAMMAR: dict[str, list[list[str]]] = {
    "Query": [
        ["Sum"],
        ["Sum", "|", "Query"],
        ["Sum", ",", "Query"],
        ["Sum", " as ", "Pattern", "|", "Query"],
        ["def f: ", "Query", ";", "Query"],
        ["def f(g;$y): ", "Query", ";", "Query"],
        ["label $y|", "Query"],
    ],
    "Sum": [
        ["Term"],
        ["Term", "+", "Sum"],
        ["Term", "==", "Sum"],
        ["Term", "<", "Sum"],
        ["Term", " and ", "Sum"],
        ["Term", "//", "Sum"],
        ["Term", "=", "Sum"],
        ["Term", "|=", "Sum"],
        ["-", "Sum"],
        ["try ", "Sum"],
        ["try ", "Term", " catch ", "Term"],
    ],
    "Term": [
        ["."],
        [".a"],
        ["1"],
        ["$x"],
        ['"s"'],
        ["f"],
        ["[]"],
        [".."],
        ["@json"],
        ["$__loc__"],
        ["break $y"],
        ["Term", "Suffix"],
        ['"a\\(', "Query", ')"'],
        ['@json "\\(', "Query", ')"'],
        ["(", "Query", ")"],
        ["[", "Query", "]"],
        ["{", "Pairs", "}"],
        ["f(", "Query", ";", "Query", ")"],
        ["map(", "Query", ")"],
        ["if ", "Query", " then ", "Query", " end"],
        ["if ", "Query", " then ", "Query", " else ", "Query", " end"],
        ["reduce ", "Sum", " as ", "Pattern", "(", "Query", ";", "Query", ")"],
        ["foreach ", "Sum", " as ", "Pattern", "(", "Query", ";", "Query", ";", "Query", ")"],
    ],
    "Suffix": [
        [".b"],
        ["[0]"],
        ["[]"],
        ["?"],
        ['["k"]'],
        ['."k"'],
        ["[", "Query", "]"],
        [".[", "Query", "]"],
        ["[", "Query", ":", "Query", "]"],
        ["[", "Query", ":]"],
        ["[:", "Query", "]"],
    ],
    "Pairs": [
        ["a"],
        ["a:", "Value"],
        ["$x"],
        ['"k":', "Value"],
        ["if:", "Value"],
        ["(", "Query", "|tostring):", "Value"],
        ["Pairs", ",", "Pairs"],
        ['"k\\(', "Query", ')":', "Value"],
    ],
    "Value": [["Sum"], ["Sum", "|", "Value"]],
    "Pattern": [
        ["$x"],
        ["{$x}"],
        ["[", "Pattern", "]"],
        ["[", "Pattern", ",", "Pattern", "]"],
        ["{a:", "Pattern", "}"],
        ["{$x:", "Pattern", "}"],
        ["{(", "Query", "|tostring):", "Pattern", "}"],
        ["Pattern", "?//", "Pattern"],
    ],
}
STRAY = (
    *(
        ".",
        ".a",
        "..",
        "$x",
        "1",
        '"',
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "|",
        ",",
        "//",
        "==",
        "=",
        "?",
    ),
    *(
        "|=",
        "-",
        " and ",
        " if ",
        " then ",
        " end ",
        " try ",
        " reduce ",
        " as ",
        " def ",
        "f",
        ":",
    ),
    *(";", "?//", " label ", " break ", "@base64", "#\n", "\\", "\\(", "import", "..", "0", "%"),
)
PREAMBLE = ". as $x|def f: 1; def f(a;b): a; label $y|"


def program(random: Random) -> str:
    """A program of the grammar; now and then with one piece too many, or too few."""
    text = PREAMBLE + _derived("Query", random, random.randint(1, 6))
    if random.random() < 0.4:
        at = random.randrange(len(text))
        text = text[:at] + random.choice(STRAY) + text[at + random.randint(0, 2) :]
    return text


def _derived(symbol: str, random: Random, depth: int) -> str:
    if symbol not in GRAMMAR:
        return symbol
    forms = GRAMMAR[symbol]
    form = random.choice(forms if depth > 0 else forms[:1])
    return "".join(_derived(part, random, depth - 1) for part in form)
