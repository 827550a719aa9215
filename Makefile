# Each target prepares what it needs: python3 (3.10 or newer) and make are enough.
PYTHON ?= python3
BIN = .venv/bin
INSTALL = -m pip install --quiet --disable-pip-version-check -c requirements-dev.lock
DEBIAN_INSTALL = apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends
BENCH = benchmarks
BENCH_OPTIONS =
# Succeeds where each of these programs is there. Given several names, `command -v` of some shells looks for the first alone.
all_there = $(foreach program,$(1),command -v $(program) &&) true
SOURCES = src tests parity benchmarks training main.py

.PHONY: help demo serve quick test clients page recipes recall ray check site package image deployment sbom chaos fuzz cost hostile parity golden data lock clean

help: ## what there is
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

demo: .venv/runtime ## start on the built-in model, print a first request
	@echo 'When it is ready, rank the pictures in samples/ by a text from another terminal:'
	@echo '  $(PYTHON) samples/rank.py "a red car" | curl -s http://127.0.0.1:7860/rank -d @-'
	@MODEL_NAME=emoji $(BIN)/openclip-api serve

serve: .venv/runtime ## start on MODEL_NAME and MODEL_PRETRAINED (default ViT-B-32 laion2b_s34b_b79k)
	$(BIN)/openclip-api serve

quick: .venv/test ## the inner loop: no process, no network, two to three minutes
	$(BIN)/python -m pytest --quick -q

test: .venv/test ## the tests: offline, without torch, about 15 minutes
	$(BIN)/python -m pytest

check: .venv/check ## format, lint, types, import directions, dead code
	$(BIN)/ruff format --check $(wildcard $(SOURCES))
	$(BIN)/ruff check $(wildcard $(SOURCES))
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vulture

site: .venv/site ## build docs/ as a site with search into build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	$(BIN)/python -m pytest -m site tests/docs

clients: .venv/test .venv-clients/installed ## the protocols' own clients against a server (WORKERS=2: against two); those of Node where npm is
	TEST_WORKERS=$(WORKERS) .venv-clients/bin/python -m pytest --confcutdir=tests/clients -o filterwarnings= tests/clients

page: .venv/test .venv-page/installed ## the page in headless Chromium, with axe; screenshots in build/page
	.venv-page/bin/python -m pytest --confcutdir=tests/page -o filterwarnings= tests/page

recipes: .venv-recipes/installed ## run docs/recipes.md and docs/examples against PostgreSQL, Chroma, Qdrant, pandas and datasets
	.venv-recipes/bin/python -m pytest --confcutdir=tests/recipes -o filterwarnings= tests/recipes

recall: .venv/test ## measure recall@10 of search's index over 100,000 vectors; a few minutes
	$(BIN)/python -m pytest -m recall -s tests/search

ray: .venv-ray/installed ## embed and serve on a Ray cluster of several nodes on this machine, some of them killed; about six minutes
	RAY_USAGE_STATS_ENABLED=0 .venv-ray/bin/python -m pytest -o filterwarnings= tests/ray

FAULTS = $(addprefix tests/,$(addprefix server/,test_stop.py test_log.py test_connection.py middleware shared/test_image_urls.py) inputs/test_decoder_processes.py)
chaos: .venv/test ## break and overload real processes; about eight minutes; writes benchmarks/CHAOS.md unless WORKERS=2
	CHAOS_WRITE=$(if $(WORKERS),,1) TEST_WORKERS=$(WORKERS) $(BIN)/python -m pytest -m 'not fuzz and not cost' tests/chaos $(FAULTS)

fuzz: .venv/test .venv-fuzz/installed ## mutated images and checkpoints, generated requests; FUZZ_IMAGES, FUZZ_CHECKPOINTS, FUZZ_TORCH_FILES, FUZZ_EXAMPLES, FUZZ_SEED
	$(BIN)/python -m pytest -m 'not chaos and not cost' -s tests/fuzz

cost: .venv/test ## measure hostile requests of up to 1 MB against a bound; FUZZ_SECONDS, FUZZ_ALL, FUZZ_SIZE, FUZZ_SEED
	$(BIN)/python -m pytest -m cost -s tests/fuzz

hostile: .venv/test ## measure the largest hostile requests that a server reads, 30 MB each
	$(BIN)/python -m pytest -m cost -s tests/chaos/test_hostile.py

package: .venv/test ## the Dockerfile's steps: the wheel in an empty venv answers a request
	$(BIN)/python -m pytest -m package

# The programs come from the system; where it lacks one and this is root, from Debian.
deployment: .venv/test .venv-deployment/installed ## check what is in deploy/ with nginx, Prometheus and validators
	$(call all_there,nginx promtool systemd-analyze) || { $(DEBIAN_INSTALL) nginx-light prometheus systemd; }
	$(BIN)/python -m pytest -m deployment tests/deploy

sbom: .venv-deployment/installed ## write build/sbom.json, the CycloneDX list of packages in the image; look for known faults
	mkdir -p build
	$(PYTHON) -m venv --clear build/sbom
	build/sbom/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	build/sbom/bin/python -m pip install --quiet --disable-pip-version-check --no-deps .
	build/sbom/bin/python -m pip uninstall --quiet --yes setuptools pip
	.venv-deployment/bin/cyclonedx-py environment --pyproject pyproject.toml --output-file build/sbom.json build/sbom
	.venv-deployment/bin/pip-audit --require-hashes --disable-pip --requirement requirements.lock

# An engine comes from the system; where it has none and this is root, from Debian.
image: .venv/test ## build the container image and run it as docker and Kubernetes would (docker or podman)
	docker info > /dev/null 2>&1 || command -v podman || { $(DEBIAN_INSTALL) podman crun runc buildah mmdebstrap; }
	$(BIN)/python -m pytest -m image tests/image

parity: .venv-parity/installed ## equality with open_clip, in a venv with torch
	.venv-parity/bin/python -m pytest parity

golden: .venv-parity/installed ## write the golden files of the tests again
	.venv-parity/bin/python -m parity.write_golden

data: .venv-parity/installed ## write registry.json and the BPE merges again from open_clip
	.venv-parity/bin/python parity/write_data.py

bench: $(BENCH)/.venv/installed $(BENCH)/.venv-infinity/installed $(BENCH)/.venv-onnx/installed $(BENCH)/.venv-original/installed $(BENCH)/.venv-quantize/installed ## measure this server beside others (needs wrk; BENCH_OPTIONS=--short to try)
	@command -v wrk >/dev/null || { echo 'the load generator wrk is needed: apt-get install wrk'; exit 1; }
	$(BENCH)/.venv/bin/python $(BENCH)/run.py $(BENCH_OPTIONS)

RESOLVE = uv pip compile --universal --python-version 3.10 --no-header --no-annotate --upgrade pyproject.toml
lock: ## resolve both lock files again for all supported Pythons (needs uv)
	$(RESOLVE) --generate-hashes --output-file requirements.lock
	$(RESOLVE) --extra test --extra check --extra search --extra site --constraint requirements.lock --output-file requirements-dev.lock

clean:
	rm -rf .venv .venv-clients .venv-deployment .venv-fuzz .venv-page .venv-parity .venv-ray .venv-recipes build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv

.venv/runtime: .venv/bin/python pyproject.toml requirements-dev.lock
	$(BIN)/python $(INSTALL) -e .
	touch $@

.venv/test: .venv/bin/python pyproject.toml requirements-dev.lock
	$(BIN)/python $(INSTALL) -e '.[test]'
	touch $@

.venv/check: .venv/bin/python pyproject.toml requirements-dev.lock
	$(BIN)/python $(INSTALL) -e '.[test,check]'
	touch $@

.venv/site: .venv/bin/python pyproject.toml requirements-dev.lock
	$(BIN)/python $(INSTALL) -e '.[test,site]'
	touch $@

.venv-clients/installed: tests/clients/requirements.txt tests/clients/package.json
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check --no-deps infinity-client==0.0.78
	mkdir -p .venv-clients/npm
	cp tests/clients/package.json .venv-clients/npm/
	if command -v npm > /dev/null; then cd .venv-clients/npm && npm install --silent --no-audit --no-fund --no-package-lock; fi
	touch $@

.venv-fuzz/installed: Makefile
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check 'schemathesis==4.32.5'
	touch $@

# Chromium, and nginx to try the page behind, come from the system; where it has none and this is root, from Debian.
.venv-page/installed: tests/page/requirements.txt
	command -v $${CHROMIUM:-chromium} || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium nginx-light; }
	$(PYTHON) -m venv .venv-page
	.venv-page/bin/python -m pip install --quiet --disable-pip-version-check -r tests/page/requirements.txt
	mkdir -p .venv-page/axe
	if command -v npm > /dev/null; then cd .venv-page/axe && npm pack --silent axe-core@4.14.1 && tar -xzf axe-core-*.tgz; fi
	touch $@

.venv-deployment/installed: tests/deploy/requirements.txt
	$(PYTHON) -m venv .venv-deployment
	.venv-deployment/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

.venv-recipes/installed: pyproject.toml tests/recipes/requirements.txt
	$(PYTHON) -m venv .venv-recipes
	.venv-recipes/bin/python -m pip install --quiet --disable-pip-version-check -r tests/recipes/requirements.txt -e '.[bulk]'
	touch $@

.venv-ray/installed: pyproject.toml requirements-dev.lock
	$(PYTHON) -m venv .venv-ray
	.venv-ray/bin/python $(INSTALL) -e '.[ray,test]'
	touch $@

.venv-parity/installed: pyproject.toml parity/requirements.txt
	$(PYTHON) -m venv .venv-parity
	.venv-parity/bin/python -m pip install --quiet --disable-pip-version-check -r parity/requirements.txt -e '.[test]'
	touch $@

$(BENCH)/.venv/installed: pyproject.toml requirements-dev.lock
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python $(INSTALL) -e . scikit-image matplotlib
	touch $@

$(BENCH)/.venv-%/installed: $(BENCH)/requirements-%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $< $(if $(filter %infinity/installed %onnx/installed,$@),,-e .)
	touch $@
