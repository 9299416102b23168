# Shortcuts; every target is one command you can type yourself.
.PHONY: install app test test-cpus lint format cards

# What `make test-cpus` runs: the tests that compare results of networks, and settings under which kernels compute as on another CPU.
TESTS = $(shell grep -rl --include="test_*.py" "^from tests.tolerances import" tests)
CPUS = "ATEN_CPU_CAPABILITY=avx2" "ATEN_CPU_CAPABILITY=default" "ONEDNN_MAX_CPU_ISA=AVX2 DNNL_MAX_CPU_ISA=AVX2" "MKL_CBWR=COMPATIBLE" \
	"OMP_NUM_THREADS=1" "OMP_NUM_THREADS=2"

install:
	pip install -r requirements-dev.txt

app:
	python app.py

test:
	pytest

# One pytest for each setting, stopped by the first that fails; `make test-cpus TESTS=tests/onnx/test_onnx.py CPUS='"OMP_NUM_THREADS=1"'` is a part of it.
test-cpus:
	@for cpu in $(CPUS); do \
		echo "$$cpu PYTHONPATH=. pytest -q -p tests.noisy_networks" $(TESTS); \
		env $$cpu PYTHONPATH=. pytest -q -p tests.noisy_networks $(TESTS) || { echo "failed with $$cpu"; exit 1; }; \
	done

lint:
	ruff check . && ruff format --check .

format:
	ruff check --fix . && ruff format .

cards:
	python -m training.card
