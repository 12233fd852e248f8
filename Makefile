# make demo   set up, make a synthetic database, run the study on it and write out/demo/report.html
# make test   set up, run the tests
# make validate  measure tests, intervals and whole studies where the truth is known; the tables go to docs/validation.md
# make models  train every full-size network for two epochs on drawn faces; what it took goes to docs/models.md
# make check  ruff, mypy --strict, import-linter
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEMO := out/demo

.PHONY: setup demo test check slow validate models docs constraints clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python "$(PYTHON)" .venv && \
		uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'; \
	else \
		$(PYTHON) -m venv .venv && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'; \
	fi
	@touch $@

demo: $(READY)
	$(BIN)/microexpr data make synthetic --out $(DEMO)/data --subjects 12 --clips 96 \
		--emotions disgust,happiness,repression,surprise --expression-size 5 --seed 1
	$(BIN)/microexpr study studies/demo.toml --data $(DEMO)/data --out $(DEMO)

# Two processes with one thread each, as two threads in each would wait for each other's cores; whole files to each, so
# that what the tests of a file share is made once.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

slow: $(READY)
	$(BIN)/python -m pytest -m "slow or torture" --timeout 3600

validate: $(READY)
	$(BIN)/python -m microexpr.validating studies/planted.toml out/validate docs/validation.md

models: $(READY)
	$(BIN)/python -m microexpr.full_size studies/table6.toml out/models docs/models.md

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/python -m microexpr.docs docs/components.md

constraints:
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' | sed '1i # Versions that continuous integration used; made by make constraints.' > constraints.txt

clean:
	rm -rf out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
