# make demo   set up, make a synthetic database, run the study on it and write out/demo/report.html
# make test   set up, run the tests
# make validate  measure tests, intervals and whole studies where the truth is known; the tables go to docs/validation.md
# make models  train every full-size network for two epochs on drawn faces; what it took goes to docs/models.md
# make cluster  test SLURM, Ray and processes that die; needs root and slurm-wlm for SLURM
# make torture  kill a study a hundred times and resume it
# make scaling  measure what a grid of many folds costs; writes docs/scaling.md and its figures
# make kernels  run the numeric tests with the kernels of other processors
# make speed  write docs/speed.md from docs/bench.json; microexpr bench all --out docs/bench.json measures
# make growth  measure how time and memory grow; writes docs/growth.md and its figures
# make precision  train with bf16 and with float32 from many seeds; writes docs/precision.md
# make ratios  measure the ratios that continuous integration compares; on a machine that does nothing else
# make check  ruff, mypy --strict, import-linter
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
DEMO := out/demo

.PHONY: setup demo test cluster torture kernels check slow validate models speed ratios growth scaling precision docs \
	constraints clean

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
		--emotions disgust,happiness,repression,surprise --expression-size 1 --seed 1
	$(BIN)/microexpr study demo --data $(DEMO)/data --out $(DEMO) --jobs 2

# Two processes with one thread each, as two threads in each would wait for each other's cores; whole files to each, so
# that what the tests of a file share is made once.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

# numpy and torch without AVX-512, as on most laptops; of OpenBLAS's kernels SkylakeX needs it. One thread as in test, and
# two threads in one process with the first kernel. The types and shapes that annotations promise are checked at every
# call here, which is too slow for all tests.
KERNELS := Haswell:1 Haswell:2 Zen:1 SkylakeX:1
SHAPES := --jaxtyping-packages=microexpr,beartype.beartype
kernels: export ATEN_CPU_CAPABILITY = avx2
kernels: export ONEDNN_MAX_CPU_ISA = AVX2
kernels: export NPY_DISABLE_CPU_FEATURES = X86_V4 AVX512_ICL AVX512_SPR
kernels: $(READY)
	@for run in $(KERNELS); do \
		kernel=$${run%:*} threads=$${run#*:}; \
		if [ $$kernel = SkylakeX ] && ! grep -qsw avx512dq /proc/cpuinfo; then \
			echo "$$kernel is skipped: this processor has no AVX-512"; continue; \
		fi; \
		echo "numeric tests, OpenBLAS kernel $$kernel, threads: $$threads"; \
		OPENBLAS_CORETYPE=$$kernel OMP_NUM_THREADS=$$threads $(BIN)/python -m pytest \
			-m "numeric and not slow and not torture and not cluster" $(SHAPES) -n $$((3 - threads)) --dist loadfile || exit 1; \
	done

# One after the other: two clusters on one machine would wait for each other's cores.
cluster: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster

torture: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m torture --timeout 7200 -s

slow: $(READY)
	$(BIN)/python -m pytest -m "slow or torture" --timeout 7200

validate: $(READY)
	$(BIN)/python -m tools.validation tools/validation/planted.toml out/validate docs/validation.md

models: $(READY)
	$(BIN)/python -m tools.full_size table6 out/models docs/models.md

speed: $(READY)
	$(BIN)/python -m tools.speed_page docs/bench.json docs/speed.md

precision: $(READY)
	$(BIN)/python -m tools.precision docs/precision.md

scaling: $(READY)
	$(BIN)/python -m tools.scaling docs/scaling.json docs/scaling.md

growth: $(READY)
	$(BIN)/python -m tools.growth docs/growth.json docs/growth.md

ratios: $(READY)
	$(BIN)/python -m tools.commit_ratios src/microexpr/bench/committed.json

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/python -m tools.component_pages docs/components.md

constraints:
	$(BIN)/python -m pip freeze --exclude-editable | grep -v ' @ ' | sed '1i # Versions that continuous integration used; made by make constraints.' > constraints.txt

clean:
	rm -rf out build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
