# `make run` and `make test` do all the set-up themselves; a second call installs nothing.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check install clean

run: .venv/installed
	$(BIN)/python -m zoo fit --model hhmr $(ARGS)

test: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(ARGS)

check: test
	$(BIN)/python -m pytest -m slow

install: .venv/installed

# uv when it is there, else the pip that comes with Python.
.venv/installed: pyproject.toml
	@if command -v uv >/dev/null; then \
		test -x $(BIN)/python || uv venv --python "$(PYTHON)" .venv; \
		uv pip install --python $(BIN)/python -e ".[render,dev]"; \
	else \
		test -x $(BIN)/python || $(PYTHON) -m venv .venv; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[render,dev]"; \
	fi
	@touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
