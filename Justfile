# Recipes of the project. Run them with `uv run just <recipe>`.

export PYTHONWARNINGS := "default"

# List the recipes.
default:
    @just --list

# The whole suite: style, types, layers, tests, a tenth of the drills. This is what must pass before anything lands.
test: lint types layers
    pytest -n auto
    python -m drills --tenth

# Style and formatting.
lint:
    ruff check .
    ruff format --check .

# Both type checkers, strict, over both packages.
types:
    mypy
    pyright

# Who may import whom.
layers:
    lint-imports

# Mend what can be mended by itself.
fmt:
    ruff check --fix .
    ruff format .

# Unit tests only, stopping at the first failure.
quick *ARGS:
    pytest -x -q tests {{ARGS}}

# Property tests only.
prop *ARGS:
    pytest property_tests {{ARGS}}

# Coverage of both packages by the whole suite.
coverage:
    coverage run -m pytest
    coverage report --skip-covered --show-missing

# The benchmarks, a table: `just bench`, `just bench --full steps`.
bench *ARGS:
    python -m bench {{ARGS}}

# The actor library beside plain trio and pykka: a table, no verdict.
bench-actors *ARGS:
    python bench/actors.py {{ARGS}}

# Install the engines that `just bench peers` stands beside, outside of the repository.
bench-peers:
    python -m bench.peers_environment

# Write the generated pages anew.
pages:
    python -m opcode_runtime.testing.reference
    python docs/actors/generate.py
    python -m tests.conformance.page

# The demonstration, as often as asked: `just demo 20`.
demo TIMES="1":
    for i in $(seq {{TIMES}}); do opcode demo || exit 1; done

# The drills of the runtime itself, as a table: `just drill`, `just drill kill crash_states`, `just drill --seed 7`.
drill *ARGS:
    python -m drills --full {{ARGS}}

# The same at many times the strength, and the attempts on the fences with it; for a night.
nightly *ARGS:
    OPCODE_SWAPS=100000 pytest tests/escape/test_path_races.py
    OPCODE_CI=full pytest tests/secrets/test_canaries.py property_tests/test_secrets.py
    python -m drills --nightly {{ARGS}}
