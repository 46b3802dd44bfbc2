"""A jq program read for what is wrong with it and for what it can touch; nothing of it is evaluated.

Why not the compiler of jq itself: it works out constants while it compiles (`"a" * 3e8` takes 300 MB, with the
interpreter locked), and it reads `~/.jq`. It sees a program in a worker only.

Rule 1: what this accepts is what jq accepts, without `import`, `include`, `module` and `modulemeta`, which open files,
without what is nested deeper than `NESTING_MAX`, and without unknown names, even where nothing is ever called.
Rule 2: the input of the program is the object of namespaces. A part of a program sees that object, or something made
from it, or perhaps either (the body of a function). Only where it may see the object can it touch a namespace.
Rule 3: `.steps["id"]`, `.inputs.x` and the like touch that one part; `.steps`, `.steps[…]` the whole namespace;
anything else that uses the object itself (`.`, `keys`, `..`, an assignment) touches everything.
"""

from __future__ import annotations

import re

from opcode_runtime.expressions._failures import Malformed
from opcode_runtime.expressions._jq_names import JQ_FUNCTIONS, JQ_INPUT_UNUSED
from opcode_runtime.expressions._jq_tokens import KEYWORDS, JqTokens
from opcode_runtime.expressions._jq_touched import JqNames, JqTouched, Sees, arguments_see

NESTING_MAX = 50
_PLAIN_STRING = re.compile(r'"([^"\\]*)"')
_POWERS = {
    "//": 1,
    **dict.fromkeys(("=", "|=", "+=", "-=", "*=", "/=", "%=", "//="), 2),
    "or": 3,
    "and": 4,
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 5),
    **dict.fromkeys(("+", "-"), 6),
    **dict.fromkeys(("*", "/", "%"), 7),
}
_NOT_CHAINED = frozenset({2, 5})
_ASSIGNMENT = 2


def parse_jq(source: str) -> JqTouched:
    """Read a program.

    Raises:
        Malformed: jq would refuse it, or it may not be used here.
    """
    for wrong in re.finditer("[\x00\ud800-\udfff]", source):
        raise Malformed(wrong.start(), f"jq has no character {wrong[0]!r}")
    return _Parser(source).program()


class _Parser:
    """Recursive descent, one method for each form."""

    def __init__(self, source: str) -> None:
        self._tokens = JqTokens(source)
        self._touched = JqTouched()
        self._names = JqNames()
        self._depth = 0

    def program(self) -> JqTouched:
        """The whole program."""
        if self._tokens.next.text in {"import", "include", "module"}:
            name = self._tokens.next.text
            raise Malformed(self._tokens.next.begin, f"{name!r} opens files and cannot be used")
        self._query(Sees.OBJECT)
        if self._tokens.next.kind != "end":
            raise self._tokens.unexpected()
        return self._touched

    def _query(self, sees: Sees) -> None:
        """`def f: …; a as $x | b, c | d`"""
        names = self._names
        self._enter()
        while True:
            while self._tokens.take_if("def"):
                self._definition(sees)
            if self._tokens.take_if("label"):
                self._bind(f"*{self._binding()[1:]}")
                self._tokens.expect("|")
                continue
            self._expression(sees, 0)
            if self._tokens.take_if("as"):
                self._patterns(sees)
                self._tokens.expect("|")
            elif self._tokens.take_if("|"):
                sees = Sees.OTHER
            elif not self._tokens.take_if(","):
                break
        self._depth -= 1
        self._names = names

    def _definition(self, sees: Sees) -> None:
        """`def name(f; $x): body;` after its `def`; the name is known from here on, and inside."""
        name, parameters = self._word(), self._parameters()
        outer, touched = self._touched, JqTouched()
        self._bind(f"{name}/{len(parameters)}", touched)
        names = self._names
        for parameter in parameters:
            self._bind(f"{parameter.removeprefix('$')}/0")
            if parameter.startswith("$"):
                self._bind(parameter)
        self._tokens.expect(":")
        self._touched = touched
        self._query(Sees.PERHAPS if sees is Sees.OBJECT else sees)
        self._touched, self._names = outer, names
        self._tokens.expect(";")

    def _parameters(self) -> list[str]:
        if not self._tokens.take_if("("):
            return []
        parameters: list[str] = []
        while True:
            is_binding = self._tokens.next.kind == "binding"
            parameters.append(self._binding() if is_binding else self._word())
            if self._tokens.expect(";", ")").text == ")":
                return parameters

    def _expression(self, sees: Sees, least: int) -> None:
        """Operators that bind at least as tightly as `least`."""
        self._unary(sees)
        chained = 0
        while (power := _POWERS.get(self._tokens.next.text, -1)) >= least:
            if power == chained or self._tokens.next.kind not in {"mark", "word"}:
                raise self._tokens.unexpected()
            self._tokens.take()
            self._expression(sees, power + 1)
            chained = power if power in _NOT_CHAINED else 0
            if power == _ASSIGNMENT:
                self._touched.input(sees)

    def _unary(self, sees: Sees) -> None:
        while self._tokens.take_if("-"):
            pass
        if self._tokens.take_if("try"):
            self._enter()
            self._unary(sees)
            if self._tokens.take_if("catch"):
                self._unary(Sees.OTHER)
            self._depth -= 1
        else:
            self._postfix(sees)

    def _postfix(self, sees: Sees) -> None:
        """A term with its `.name`, `["x"]`, `[]`, `[a:b]` and `?`."""
        keys: list[str | None] = []
        of_input = self._tokens.next.kind == "field" or self._tokens.next.text == "."
        if not of_input:
            self._term(sees)
        elif self._tokens.next.kind == "mark":
            self._tokens.take()
            if self._at_string():
                keys.append(self._string(sees))
        while True:
            if self._tokens.next.kind == "field":
                keys.append(self._tokens.take().text[1:])
            elif self._tokens.take_if("["):
                keys.append(self._bracket(sees))
            elif self._tokens.take_if("."):
                keys.append(self._dotted(sees))
            elif not self._tokens.take_if("?"):
                break
        if of_input:
            self._touched.path(sees, keys)

    def _dotted(self, sees: Sees) -> str | None:
        if self._at_string():
            return self._string(sees)
        self._tokens.expect("[")
        return self._bracket(sees)

    def _bracket(self, sees: Sees) -> str | None:
        """What stands in brackets, after the `[`: the key if it is a plain string."""
        if self._tokens.take_if("]"):
            return None
        begin = self._tokens.next.begin
        if self._tokens.take_if(":"):
            self._query(sees)
        else:
            self._query(sees)
            key = _PLAIN_STRING.fullmatch(self._tokens.text(begin, self._tokens.next.begin).strip())
            if self._tokens.take_if("]"):
                return key[1] if key else None
            self._tokens.expect(":")
            if self._tokens.next.text != "]":
                self._query(sees)
        self._tokens.expect("]")
        return None

    def _term(self, sees: Sees) -> None:
        token = self._tokens.next
        if token.kind == "quote":
            self._string(sees)
        elif token.kind == "word":
            self._named(sees)
        elif token.kind == "binding":
            self._names.check(token.text, self._tokens.take(), "variable")
        elif token.kind == "number":
            self._tokens.take()
        elif token.kind == "format":
            self._tokens.take()
            if self._tokens.next.kind == "quote":
                self._string(sees)
            else:
                self._touched.input(sees)
        else:
            self._enclosed(sees)

    def _enclosed(self, sees: Sees) -> None:
        opening = self._tokens.expect("..", "(", "[", "{").text
        if opening == "..":
            self._touched.input(sees)
        elif opening == "{":
            self._object(sees)
        elif opening == "(":
            self._query(sees)
            self._tokens.expect(")")
        elif not self._tokens.take_if("]"):
            self._query(sees)
            self._tokens.expect("]")

    def _named(self, sees: Sees) -> None:
        token = self._tokens.next
        if token.text in {"reduce", "foreach"}:
            self._fold(sees)
        elif token.text == "if":
            self._condition(sees)
        elif token.text == "break":
            self._tokens.take()
            self._names.check(f"*{self._binding()[1:]}", token, "label")
        else:
            self._call(sees)

    def _call(self, sees: Sees) -> None:
        token = self._tokens.next
        name = self._word()
        is_own = self._names.has_function(name)
        opens = self._tokens.take_if("(") is not None
        count = self._arguments(*arguments_see(name, sees, is_own)) if opens else 0
        key = f"{name}/{count}"
        if is_own and key in self._names:
            self._touched.call(self._names[key], sees)
            return
        if name == "modulemeta":
            raise Malformed(token.begin, "'modulemeta' opens files and cannot be used")
        if key not in JQ_FUNCTIONS:
            raise Malformed(token.begin, _no_function(name, count))
        if key not in JQ_INPUT_UNUSED:
            self._touched.input(sees)

    def _arguments(self, first: Sees, others: Sees) -> int:
        count = 1
        self._query(first)
        while self._tokens.expect(";", ")").text == ";":
            count += 1
            self._query(others)
        return count

    def _fold(self, sees: Sees) -> None:
        """`reduce source as $x (start; next)`, and `foreach`, which may have a third part."""
        most, names = (2 if self._tokens.take().text == "reduce" else 3), self._names
        self._enter()
        self._expression(sees, 0)
        self._depth -= 1
        self._tokens.expect("as")
        self._patterns(sees)
        bound, self._names = self._names, names
        self._tokens.expect("(")
        self._query(sees)
        self._tokens.expect(";")
        self._names = bound
        self._query(Sees.OTHER)
        if most == 3 and self._tokens.take_if(";"):
            self._query(Sees.OTHER)
        self._tokens.expect(")")
        self._names = names

    def _condition(self, sees: Sees) -> None:
        """`if a then b elif c then d else e end`; without `else` it gives its input."""
        while self._tokens.take_if("if", "elif"):
            self._query(sees)
            self._tokens.expect("then")
            self._query(sees)
        if self._tokens.take_if("else"):
            self._query(sees)
        else:
            self._touched.input(sees)
        self._tokens.expect("end")

    def _object(self, sees: Sees) -> None:
        while not self._tokens.take_if("}"):
            self._pair(sees)
            if not self._tokens.take_if(","):
                self._tokens.expect("}")
                return

    def _pair(self, sees: Sees) -> None:
        token, key = self._tokens.next, None
        if token.kind == "binding":
            self._names.check(token.text, self._tokens.take(), "variable")
        elif token.kind == "word":
            key = self._tokens.take().text
        elif self._at_string():
            key = self._string(sees)
        else:
            self._tokens.expect("(")
            self._query(sees)
            self._tokens.expect(")")
        if token.text != "$__loc__" and self._tokens.take_if(":"):
            self._pair_value(sees)
        elif token.text == "(":
            raise self._tokens.unexpected(":")
        elif token.kind != "binding":
            self._touched.path(sees, [key])

    def _pair_value(self, sees: Sees) -> None:
        self._enter()
        self._expression(sees, 0)
        while self._tokens.take_if("|"):
            self._expression(Sees.OTHER, 0)
        self._depth -= 1

    def _patterns(self, sees: Sees) -> None:
        """What stands after `as`; its variables are known from there on."""
        names = self._pattern(sees)
        while self._tokens.take_if("?//"):
            names += self._pattern(sees)
        for name in names:
            self._bind(name)

    def _pattern(self, sees: Sees) -> list[str]:
        if self._tokens.next.kind == "binding":
            return [self._binding()]
        self._enter()
        is_list = self._tokens.expect("[", "{").text == "["
        part, closing = (self._pattern, "]") if is_list else (self._pattern_pair, "}")
        names = part(sees)
        while self._tokens.expect(",", closing).text == ",":
            names += part(sees)
        self._depth -= 1
        return names

    def _pattern_pair(self, sees: Sees) -> list[str]:
        names = [self._binding()] if self._tokens.next.kind == "binding" else []
        if names and not self._tokens.take_if(":"):
            return names
        if not names:
            self._pattern_key(sees)
            self._tokens.expect(":")
        return names + self._pattern(sees)

    def _pattern_key(self, sees: Sees) -> None:
        if self._tokens.next.kind == "word":
            self._tokens.take()
        elif self._at_string():
            self._string(sees)
        else:
            self._tokens.expect("(")
            self._query(sees)
            self._tokens.expect(")")

    def _at_string(self) -> bool:
        """Whether a string must come next: a format counts, as it cannot stand alone where this is asked."""
        return self._tokens.next.kind in {"quote", "format"}

    def _string(self, sees: Sees) -> str | None:
        """A string, perhaps after a format: its text, when it is a plain one."""
        is_formatted = self._tokens.next.kind == "format" and self._tokens.take() is not None
        if self._tokens.next.kind != "quote":
            raise self._tokens.unexpected("a string")
        begin, plain = self._tokens.take().begin, not is_formatted
        while self._tokens.string_piece() == "open":
            plain = False
            self._query(sees)
            self._tokens.expect(")")
        key = _PLAIN_STRING.match(self._tokens.text(begin, self._tokens.at)) if plain else None
        return key[1] if key else None

    def _word(self) -> str:
        if self._tokens.next.kind != "word" or self._tokens.next.text in KEYWORDS:
            raise self._tokens.unexpected("a name")
        return self._tokens.take().text

    def _binding(self) -> str:
        if self._tokens.next.kind != "binding" or self._tokens.next.text == "$__loc__":
            raise self._tokens.unexpected("a $name")
        return self._tokens.take().text

    def _bind(self, name: str, touched: JqTouched | None = None) -> None:
        self._names = self._names.having(name, touched)

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > NESTING_MAX:
            at = self._tokens.next.begin
            raise Malformed(at, f"this is nested deeper than {NESTING_MAX}")


def _no_function(name: str, count: int) -> str:
    counts = sorted(key.split("/")[1] for key in JQ_FUNCTIONS if key.split("/")[0] == name)
    if counts:
        return f"{name!r} of jq takes {' or '.join(counts)} arguments, not {count}"
    return f"jq has no function {name!r} with {count} arguments"
