# People and CI call the same targets. `make` alone lists them.
.DEFAULT_GOAL := help
CONFIG ?= probes.yaml
WORKERS ?= 2
python := .venv/bin/python
sources := dashboards monitor tests

# A stamp names what was installed: another folder, dependency or pin gives another name, and so installs again.
key := $(shell { pwd; cat pyproject.toml constraints.txt tools/venv; } | sha256sum | cut -c 1-16)
installed := .venv/installed-$(key)
installed_dev := .venv/installed-dev-$(key)

.PHONY: help run test check format lab alarms bounds censor bench fleet simulate soak docs dashboards constraints clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

run: $(installed) ## set up what is missing and start the daemon on probes.yaml (another file: make run CONFIG=…)
	@echo 'The page: http://127.0.0.1:9817/   metrics: http://127.0.0.1:9817/metrics   (server.listen in $(CONFIG) changes both)'
	@echo 'Another terminal: .venv/bin/monitor status -c $(CONFIG)   Stop: Ctrl-C'
	@exec $(python) -m monitor run -c $(CONFIG)

test: $(installed_dev) ## set up what is missing, check, and run every test; a skipped test fails
	tools/debian-packages
	$(MAKE) --no-print-directory check
	$(python) -m compileall -q monitor tests  # programs that tests start need not compile them again each
	$(python) -m pytest -p tests.refuse_skips -n $(WORKERS) --durations=20 --junitxml=build/tests.xml

check: $(installed_dev) ## formatting, lint, import contracts, types
	$(python) -m ruff format --check $(sources)
	$(python) -m ruff check $(sources)
	$(python) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"
	$(python) -m mypy

format: $(installed_dev) ## rewrite the sources as the formatter wants them
	$(python) -m ruff format $(sources)
	$(python) -m ruff check --fix $(sources)

lab: $(installed_dev) ## carry out every scenario of the laboratory of namespaces through the daemon, and print the table
	tools/debian-packages
	$(python) -m tests.lab.internet run

alarms: $(installed_dev) ## count false alarms: healthy targets, innocent faults, not one may be called blocked
	tools/debian-packages
	$(python) -m tests.lab.internet false-alarms

bounds: $(installed_dev) ## measure in the laboratory of namespaces how long rounds take at best and at worst
	tools/debian-packages
	$(python) -m tests.lab.internet bounds

censor: $(installed_dev) ## serve the small laboratory on loopback and say how to point a monitor at it
	$(python) -m monitor.lab build/lab

bench: $(installed_dev) ## print the benchmark table, side by side with blackbox_exporter
	tools/debian-packages
	$(python) -m tests.benchmarks

fleet: $(installed_dev) ## put two hundred agents that push on one centre, kill it, cut the line, and look for lost results
	$(python) -m tests.benchmarks.fleet

simulate: $(installed_dev) ## print the figures of docs/detection.md again; takes minutes
	$(python) -m tests.benchmarks.detection

soak: $(installed_dev) ## kill the daemon again and again and look for lost rows and messages
	$(python) -m tests.benchmarks.soak

docs: $(installed_dev) ## write the generated pages of docs/ again
	tools/generate-docs

dashboards: $(installed_dev) ## write the Grafana dashboards again from dashboards/source
	$(python) -m dashboards.source

constraints: $(installed_dev) ## pin the versions that are installed now
	{ sed '/^[^#]/,$$d' constraints.txt; $(python) -m pip freeze --exclude-editable; } > constraints.new
	mv constraints.new constraints.txt

clean: ## remove what the other targets made; never data/
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(installed):
	tools/venv
	@touch $@

$(installed_dev):
	tools/venv dev
	@touch $(installed) $@
