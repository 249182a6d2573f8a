# Menshen: one command for each thing. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

# Debian keeps mkfs.ext4, bpftool and chroot where an ordinary PATH may not look
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin
export PYTHONUNBUFFERED := 1

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

KERNEL ?= 6.1
# tests run so many at a time; a guest takes one processor
JOBS ?= 2
PYTEST := $(PY) -m pytest -n $(JOBS) --no-loadscope-reorder
# as it was typed: make itself would expand the $ in it
export MENSHEN_RUN := $(value RUN)

DEBIAN_PACKAGES := clang llvm lld clang-format libbpf-dev libbpf1 bpftool libelf-dev zlib1g-dev \
	qemu-system-x86 qemu-utils mmdebstrap debian-archive-keyring e2fsprogs cpio busybox-static kmod zstd xz-utils \
	dpkg-dev util-linux python3-venv ca-certificates git gcc-multilib

PROTOS := $(wildcard enforcer/api/*.proto)
PROTO_PYTHON := $(PROTOS:.proto=_pb2.py)
C_SOURCES = $(shell find bpf_lsm/src -name '*.c' -o -name '*.h' 2>/dev/null | grep -v vmlinux | sort)

.PHONY: help setup bpf proto image guest demo bench bench-watch lint unit fuzz mutation nightly test format clean

help: ## this list
	@echo "Menshen: mandatory access control by business identity. On Debian 12, as root:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: build/setup.stamp ## the Debian packages and the virtual environment that everything else needs

build/setup.stamp: Makefile pyproject.toml
	@mkdir -p build
	@missing=$$(for p in $(DEBIAN_PACKAGES); do \
	    dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done | tr '\n' ' '); \
	if [ -n "$$missing" ]; then \
	    echo "setup: installing Debian packages: $$missing"; \
	    apt-get -q update >build/apt.log 2>&1 || { tail -20 build/apt.log; exit 1; }; \
	    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing >>build/apt.log 2>&1 \
	        || { tail -20 build/apt.log; exit 1; }; \
	else echo "setup: Debian packages: all here"; fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "setup: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=... setup"; exit 1; }
	@[ -x $(PY) ] || { echo "setup: making the virtual environment $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "setup: Python packages of pyproject.toml into $(VENV)"
	@$(PY) -m pip install -qq --disable-pip-version-check -e '.[dev]'
	@touch $@

bpf: build/setup.stamp ## the BPF objects, from bpf_lsm/src to bpf_lsm/objects
	@if [ -f bpf_lsm/src/Makefile ]; then $(MAKE) -C bpf_lsm/src; fi

proto: build/setup.stamp $(PROTO_PYTHON) ## the API's Python code, from enforcer/api/*.proto

enforcer/api/%_pb2.py: enforcer/api/%.proto
	@echo "proto: $<"
	@$(PY) -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. $<

image: bpf proto ## everything guests start from: root image, a boot of each kernel, Menshen in it
	@$(PY) -m tests.guest image $(if $(KERNELS),--kernels '$(KERNELS)')

guest: bpf proto ## a guest: KERNEL=6.1|6.12|latest RUN='command' SHARE=folder ICOUNT=1; no RUN, a shell
	@$(PY) -m tests.guest run --kernel '$(KERNEL)' $(if $(SHARE),--share '$(SHARE)') \
	    $(if $(filter-out 0,$(ICOUNT)),--icount) $(if $(LSM),--lsm '$(LSM)') $(if $(value RUN),"$$MENSHEN_RUN")

demo: bpf proto ## an intrusion into a guest, denied step by step: KERNEL=..., ENFORCE=0 to see it succeed, TUI=1 to watch
	@ENFORCE='$(or $(ENFORCE),1)' TUI='$(or $(TUI),0)' KERNEL='$(KERNEL)' $(PY) -m tests.demo

bench: bpf proto ## what each operation costs, beside the peers; also as build/bench.json
	@$(PY) -m tests.bench
	@$(PY) -m tests.bench.watch || echo 'bench: not every bar of the watch is met; the rows say which'

bench-watch: build/setup.stamp ## the watch's alone, on this machine: EVENTS=5000000
	@EVENTS='$(or $(EVENTS),5000000)' $(PY) -m tests.bench.watch

lint: proto ## ruff, mypy, clang-format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@if [ -n "$(C_SOURCES)" ]; then clang-format --dry-run -Werror $(C_SOURCES); fi

format: build/setup.stamp ## Python and C into the house's form
	@$(PY) -m ruff check --fix . ; $(PY) -m ruff format .
	@if [ -n "$(C_SOURCES)" ]; then clang-format -i $(C_SOURCES); fi

unit: bpf proto ## the tests that need no kernel of their own
	@$(PY) -m pytest -m alone
	@$(PYTEST) -m 'not guest and not alone'

fuzz: bpf proto ## each fuzzer for SECONDS (60), or one: TARGET=yaml; what is found is kept in build/fuzz
	@for target in $(or $(TARGET),yaml trust elf statement image description event); do \
	    echo "fuzz: $$target, $(or $(SECONDS),60) s"; \
	    $(PY) -m tests.fuzz $$target --seconds $(or $(SECONDS),60); done

mutation: build/setup.stamp ## changes the compiler and the evaluator; 90 % of the changes must fail a test
	@$(PY) -m pip install -qq --disable-pip-version-check -e '.[mutation]'
	@$(PY) -m tests.mutation

test: lint image ## lint and every test, on every kernel (KERNELS=6.1,latest for some)
	@$(PY) -m pytest -m alone
	@$(PYTEST) -m 'not alone' --durations 20 $(if $(KERNELS),--kernels '$(KERNELS)')

nightly: image ## the long runs: accesses and lives of trees against the evaluator, gaps (GAP=whole: all of them), tampering by root, others' suites, the fuzzers
	@MENSHEN_AGREEMENT_ACCESSES=$(or $(ACCESSES),100000) MENSHEN_AGREEMENT_LIVES=$(or $(LIVES),200) \
	    $(PY) -m pytest tests/guest/test_agreement.py tests/guest/test_agreement_stateful.py -s --timeout 0 $(if $(KERNELS),--kernels '$(KERNELS)')
	@MENSHEN_NIGHTLY=1 MENSHEN_GAP='$(GAP)' $(PY) -m pytest tests/guest/test_gap.py tests/guest/test_demo.py tests/guest/test_corpus.py tests/guest/test_benign.py \
	    tests/guest/tampering tests/guest/test_limits.py tests/guest/test_boot.py tests/guest/conformance --timeout 0 $(if $(KERNELS),--kernels '$(KERNELS)')
	@$(MAKE) fuzz SECONDS=$(or $(SECONDS),3600)

clean: ## forgets all that was built, guests and snapshots too
	rm -rf build bpf_lsm/objects enforcer/api/*_pb2*.py*
